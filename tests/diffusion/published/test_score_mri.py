"""The published network against its authors' own output, and what else checkpoints may hold."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from gadget.diffusion.model_folder import ModelConfig, save_model
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.networks.ncsnpp import NCSNpp, NCSNppConfig
from gadget.diffusion.published.card import model_card
from gadget.diffusion.published.checkpoint import read_published
from gadget.diffusion.published.score_mri import ASSUMED
from gadget.errors import WeightsError

SMALL = NCSNppConfig(stem=8, widths=(8, 16), blocks=1, attention=(1,))


@pytest.fixture
def reference(test_data):
    return test_data / "reference" / "ncsnpp"


def _network(config: NCSNppConfig) -> NCSNpp:
    torch.manual_seed(0)
    network = NCSNpp(config)
    network.embedding.frequencies.normal_()
    return network.eval()


def _as_published(network: NCSNpp) -> dict[str, dict]:
    """A network's weights in the layout of the authors' checkpoints, put down by hand."""
    own = network.state_dict()
    levels = range(len(network.down))
    order = [("embedding", {"frequencies": "W"})]
    order += [(n, {}) for n in ("embedding.first", "embedding.second", "stem")]
    for i in levels:
        order += [(f"down.{i}.{j}", _kind(layer)) for j, layer in enumerate(network.down[i])]
        if i != levels[-1]:
            order += [(f"halve.{i}", RESIDUAL), (f"pyramid.{i}", {"conv": "Conv2d_0"})]
    order += [("middle.0", RESIDUAL), ("middle.1", ATTENTION), ("middle.2", RESIDUAL)]
    for i in levels:
        order += [(f"up.{i}.{j}", _kind(layer)) for j, layer in enumerate(network.up[i])]
        if i != levels[-1]:
            order.append((f"enlarge.{i}", RESIDUAL))
    order += [("norm", {}), ("head", {})]

    model = {"module.sigmas": torch.linspace(50, 0.02, 5, dtype=torch.float64)}
    for number, (ours, names) in enumerate(order):
        for name, value in own.items():
            rest = name.removeprefix(f"{ours}.")
            if not name.startswith(f"{ours}.") or (ours == "embedding" and rest != "frequencies"):
                continue
            part, _, last = rest.partition(".")
            theirs = ".".join(filter(None, (names.get(part, part), last)))
            if "NIN" in theirs:
                theirs = theirs.replace("weight", "W").replace("bias", "b")
                value = value[:, :, 0, 0].T if theirs.endswith("W") else value
            model[f"module.all_modules.{number}.{theirs}"] = value
    averages = [value for name, value in model.items() if name[7:] not in FIXED]
    ema = {"decay": 0.999, "num_updates": 5, "shadow_params": averages}
    return {"step": 5, "model": model, "ema": ema}


FIXED = ("sigmas", "all_modules.0.W")
RESIDUAL = {
    "norm_in": "GroupNorm_0",
    "conv_in": "Conv_0",
    "shift": "Dense_0",
    "norm_out": "GroupNorm_1",
    "conv_out": "Conv_1",
    "skip": "Conv_2",
}
ATTENTION = {"norm": "GroupNorm_0", "query": "NIN_0", "key": "NIN_1", "value": "NIN_2"}
ATTENTION["out"] = "NIN_3"


def _kind(layer: torch.nn.Module) -> dict[str, str]:
    return ATTENTION if hasattr(layer, "query") else RESIDUAL


@pytest.fixture
def published(tmp_path):
    """Writes a checkpoint as the authors do, after a change."""

    def write(config=SMALL, change=lambda checkpoint: None):
        network = _network(config)
        checkpoint = _as_published(network)
        change(checkpoint)
        torch.save(checkpoint, tmp_path / "checkpoint.pth")
        return network, tmp_path / "checkpoint.pth"

    return write


def _assert_same(network: NCSNpp, weights: dict[str, torch.Tensor]) -> None:
    own = network.state_dict()
    assert own.keys() == weights.keys()
    for name, value in own.items():
        assert torch.equal(value, weights[name]), name


def test_score_agrees_with_the_authors_network(reference):
    found = read_published(reference / "tiny.pth")
    network = NCSNpp(found.network).eval()
    network.load_state_dict(found.weights)
    recorded = np.load(reference / "tiny_io.npz")
    with torch.no_grad():
        score = network(torch.from_numpy(recorded["x"]), torch.from_numpy(recorded["sigma"]))
    assert found.steps == 1234
    assert (found.sigma_min, found.sigma_max) == pytest.approx((0.01, 378))
    for ours, theirs in zip(score.numpy(), recorded["score"], strict=True):
        assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_imported_model_denoises_both_parts_as_the_real_network_does(reference, tmp_path, device):
    found = read_published(reference / "tiny.pth")
    config = ModelConfig(
        name="tiny",
        network=found.network,
        sigma_min=found.sigma_min,
        sigma_max=found.sigma_max,
        training_steps=found.steps,
    )
    named = {f"network.{key}": value for key, value in found.weights.items()}
    save_model(tmp_path / "tiny", config, named, torch.float32)
    prior = load_prior(str(tmp_path / "tiny"), torch.device(device))

    recorded = np.load(reference / "tiny_io.npz")
    x, sigma, score = (torch.from_numpy(recorded[k]).to(device) for k in ("x", "sigma", "score"))
    denoised = prior.denoise(torch.complex(x[1], x[1]), float(sigma[1]))
    expected = x[1] + sigma[1] ** 2 * score[1]
    torch.testing.assert_close(denoised.real, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(denoised.imag, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        NCSNppConfig(stem=8, widths=(8, 8, 16), blocks=2),
        NCSNppConfig(stem=8, widths=(8, 8, 16), blocks=2, attention=(1,)),
        NCSNppConfig(stem=8, widths=(8, 8, 16), blocks=2, attention=(0, 2)),
        NCSNppConfig(stem=4, widths=(4, 4, 8, 8, 16), blocks=1, attention=(2, 3, 4)),
        NCSNppConfig(stem=16, widths=(16, 32), blocks=4, attention=(0, 1)),
        NCSNppConfig(stem=8, widths=(24, 8), blocks=3),
        NCSNppConfig(stem=8, widths=(16,), blocks=2),
        NCSNppConfig(stem=8, widths=(16,), blocks=2, attention=(0,)),
    ],
    ids=lambda config: f"{config.widths} x {config.blocks}, {config.attention}",
)
def test_architecture_is_read_off_a_checkpoint(published, config):
    network, path = published(config)
    found = read_published(path)
    assert found.network == config
    _assert_same(network, found.weights)
    assert (found.steps, found.sigma_min, found.sigma_max) == (5, 0.02, 50)


def test_averages_take_the_place_of_raw_weights_but_not_of_the_frequencies(published):
    def change(checkpoint):
        shadow = checkpoint["ema"]["shadow_params"]
        shadow[:] = [value + 1 for value in shadow]

    network, path = published(change=change)
    found = read_published(path).weights
    own = network.state_dict()
    assert torch.equal(found["head.bias"], own["head.bias"] + 1)
    assert torch.equal(found["embedding.frequencies"], own["embedding.frequencies"])


def _without_prefix(checkpoint):
    checkpoint["model"] = {k.removeprefix("module."): v for k, v in checkpoint["model"].items()}


def _longer_prefix(checkpoint):
    checkpoint["model"] = {f"score.{k}": v for k, v in checkpoint["model"].items()}


@pytest.mark.parametrize("change", [_without_prefix, _longer_prefix])
def test_the_prefix_does_not_matter(published, change):
    network, path = published(change=change)
    found = read_published(path)
    _assert_same(network, found.weights)
    assert found.sigma_max == 50


def test_without_averages_the_raw_weights_are_taken(published, tmp_path, caplog):
    network, path = published(change=lambda checkpoint: checkpoint.pop("ema"))
    _assert_same(network, read_published(path).weights)
    assert "holds no averaged weights" in caplog.text
    state = _as_published(network)["model"]
    del state["module.sigmas"]
    torch.save(state, path)
    found = read_published(path)
    _assert_same(network, found.weights)
    assert (found.steps, found.sigma_min, found.sigma_max) == (0, 0.01, 378)


@pytest.mark.parametrize(
    "sigmas",
    [
        torch.zeros(0),
        torch.tensor([1, torch.inf]),
        torch.tensor([0.0, 1]),
        torch.tensor([2.0]),
        torch.ones(2) + 1j,
    ],
)
def test_noise_levels_that_are_none(published, caplog, sigmas):
    _, path = published(change=lambda one: one["model"].update({"module.sigmas": sigmas}))
    found = read_published(path)
    assert (found.sigma_min, found.sigma_max) == (0.01, 378)
    assert "'module.sigmas' in" in caplog.text


def test_what_does_not_matter_may_be_odd(published):
    def change(checkpoint):
        checkpoint["model"] = {7: torch.zeros(2), **checkpoint["model"]}
        checkpoint["step"] = -5

    network, path = published(change=change)
    found = read_published(path)
    _assert_same(network, found.weights)
    assert (found.steps, found.sigma_max) == (0, 50)


def _no_frequencies(checkpoint):
    del checkpoint["model"]["module.all_modules.0.W"]


def _too_few_averages(checkpoint):
    checkpoint["ema"]["shadow_params"].pop()


def _other_averages(checkpoint):
    checkpoint["ema"]["shadow_params"].reverse()


def _averages_by_name(checkpoint):
    checkpoint["ema"]["shadow_params"] = dict(checkpoint["model"])


def _colours(checkpoint):
    for values in (checkpoint["model"], checkpoint["ema"]):
        values.pop("shadow_params", None)
    checkpoint.pop("ema")
    checkpoint["model"]["module.all_modules.3.weight"] = torch.zeros(8, 3, 3, 3)


def _output_skip(checkpoint):
    checkpoint.pop("ema")
    checkpoint["model"]["module.all_modules.99.weight"] = torch.zeros(8)


def _uneven(checkpoint):
    checkpoint.pop("ema")
    checkpoint["model"]["module.all_modules.99.Conv_0.weight"] = torch.zeros(8)


def _unconditional(checkpoint):
    checkpoint.pop("ema")
    for name in [name for name in checkpoint["model"] if "Dense_0" in name]:
        del checkpoint["model"][name]


def test_weights_that_are_not_finite_are_refused(published):
    def diverge(checkpoint):
        checkpoint["ema"]["shadow_params"][3][0] = float("nan")

    _, path = published(change=diverge)
    with pytest.raises(WeightsError, match="not finite: its training diverged"):
        read_published(path)


def _no_stem(checkpoint):
    checkpoint.pop("ema")
    del checkpoint["model"]["module.all_modules.3.weight"]


def _with(name, value):
    def change(checkpoint):
        checkpoint.pop("ema")
        checkpoint["model"][f"module.all_modules.{name}"] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_no_frequencies, "lacks the fixed frequencies 'module.all_modules.0.W'"),
        (_too_few_averages, r"of \d+ parameters it holds \d+ averages"),
        (_averages_by_name, "parameters it holds no list of averages"),
        (_other_averages, r"the average of .* is no tensor of the shape \[.*another network"),
        (_colours, r"stem.weight has the shape \[8, 3, 3, 3\], expected \[8, 1, 3, 3\]"),
        (_output_skip, "its weights 99.weight have no place"),
        (_uneven, r"\d+ residual blocks at 2 resolutions"),
        (_unconditional, r"shift.weight is missing, and \d+ more"),
        (_with("3.weight", torch.tensor(1.0)), r"its weights 3\.weight are a single number"),
        (_with("4.Conv_0.weight", torch.tensor(1.0)), r"4\.Conv_0\.weight are a single number"),
        (_with("3.weight", torch.zeros(2, 1, 3, 3)), r"its 'stem' .*equal to 4, got 2"),
        (_with("4.Conv_0.weight", torch.zeros(0, 8, 3, 3)), r"'widths\.0' .*equal to 1, got 0"),
        (_with("8.NIN_0.W", torch.tensor(1.0)), r"query\.weight has the shape \[\]"),
        (_no_stem, "it has no weights '3.weight'"),
        (
            _with("3.bias", torch.zeros(8, dtype=torch.complex64)),
            r"its weights 3\.bias are no real",
        ),
        (_with("3.bias", torch.zeros(8).to_sparse()), r"its weights 3\.bias are no real"),
        (_with("3.bias", torch.zeros(8, device="meta")), r"its weights 3\.bias are no real"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_told(published, change, sentence):
    _, path = published(change=change)
    with pytest.raises(WeightsError, match=rf"{sentence}.*Supported are score-MRI"):
        read_published(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"net": {"model.map_layer0.weight": torch.zeros(1)}}, r"a network of EDM"),
        ({"model.enc.64x64_conv.weight": torch.zeros(1)}, r"a network of EDM"),
        ({"unet": {"down_blocks.0.weight": torch.zeros(1)}}, r"a network of diffusers"),
        ({"state_dict": {"conv.weight": torch.zeros(1)}}, "no checkpoint of a known layout"),
        ({"model": torch.zeros(3), 0: 1}, "no checkpoint of a known layout"),
        ([torch.zeros(3)], "no checkpoint of a known layout"),
    ],
)
def test_other_layouts_are_named(tmp_path, content, sentence):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=rf"is {sentence}.*Supported are score-MRI"):
        read_published(tmp_path / "other.pt")


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("pickled code was run",)


def test_pickled_code_is_never_run(tmp_path, recwarn):
    torch.save({"model": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match="holds more than weights"):
        read_published(tmp_path / "bomb.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"model": Bomb()}))
    with pytest.raises(WeightsError, match="holds more than weights"):
        read_published(tmp_path / "bare.pth")
    assert not recwarn
    (tmp_path / "edm.pkl").write_bytes(pickle.dumps({"ema": Bomb()}))
    with pytest.raises(WeightsError, match=r"edm\.pkl is a pickle, as EDM publishes them"):
        read_published(tmp_path / "edm.pkl")


def test_files_that_are_none(tmp_path, published):
    (tmp_path / "rubbish.pth").write_bytes(b"no checkpoint")
    (tmp_path / "empty.pth").touch()
    _, whole = published()
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:-500])
    # The rest of a small one: torch seeks its end before its beginning.
    torch.save({"model": torch.zeros(2000)}, tmp_path / "small.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "small.pth").read_bytes()[:8000])
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.pth").write_bytes(content)
    for name in ("rubbish", "empty", "cut", "half", "flipped"):
        with pytest.raises(WeightsError, match=rf"{name}\.pth is damaged or holds more"):
            read_published(tmp_path / f"{name}.pth")
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(WeightsError, match=r"cannot be read: (No such file|Is a directory)"):
            read_published(path)


def test_the_card_of_a_model_tells_what_its_checkpoint_does_not(published, tmp_path):
    _, path = published()
    found = read_published(path)
    config = ModelConfig(
        name="knee", network=found.network, sigma_min=1, sigma_max=2, training_steps=found.steps
    )
    card = model_card(config, found, path)
    assert "Imported from `checkpoint.pth`" in card
    assert "widths 8, 16, 1 residual blocks a level, attention at level 1, in the middle |" in card
    assert "0.02 to 50 in units of its images" in card
    assert ASSUMED in card
    named = {f"network.{key}": value for key, value in found.weights.items()}
    for text in (card, "another"):
        save_model(tmp_path / "knee", config, named, torch.float32, text)
        assert (tmp_path / "knee" / "README.md").read_text() == card

"""The published network against its authors' own output."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.diffusion.checkpoints import read_score_mri
from gadget.diffusion.model_folder import ModelConfig, load_prior, save_model
from gadget.diffusion.networks.ncsnpp import NCSNpp, NCSNppConfig
from gadget.errors import WeightsError


@pytest.fixture
def reference(test_data):
    return test_data / "reference" / "ncsnpp"


def test_score_agrees_with_the_authors_network(reference):
    config, weights, steps = read_score_mri(reference / "tiny.pth")
    network = NCSNpp(config).eval()
    network.load_state_dict(weights)
    recorded = np.load(reference / "tiny_io.npz")
    with torch.no_grad():
        score = network(torch.from_numpy(recorded["x"]), torch.from_numpy(recorded["sigma"]))
    assert steps == 1234
    for ours, theirs in zip(score.numpy(), recorded["score"], strict=True):
        assert np.linalg.norm(ours - theirs) < 1e-5 * np.linalg.norm(theirs)


def test_imported_model_denoises_both_parts_as_the_real_network_does(reference, tmp_path):
    network, weights, steps = read_score_mri(reference / "tiny.pth")
    config = ModelConfig(
        name="tiny", network=network, sigma_min=0.01, sigma_max=378, training_steps=steps
    )
    named = {f"network.{key}": value for key, value in weights.items()}
    save_model(tmp_path / "tiny", config, named, torch.float32)
    prior = load_prior(str(tmp_path / "tiny"), torch.device("cpu"))

    recorded = np.load(reference / "tiny_io.npz")
    x, sigma, score = (torch.from_numpy(recorded[k]) for k in ("x", "sigma", "score"))
    denoised = prior.denoise(torch.complex(x[1], x[1]), float(sigma[1]))
    expected = x[1] + sigma[1] ** 2 * score[1]
    torch.testing.assert_close(denoised.real, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(denoised.imag, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attention", [(), (1,), (0, 2)])
def test_architecture_is_read_off_a_checkpoint(tmp_path, attention):
    config = NCSNppConfig(stem=8, widths=(8, 8, 16), blocks=2, attention=attention)
    path = tmp_path / "checkpoint.pth"
    torch.save(_as_published(NCSNpp(config)), path)
    found, weights, _ = read_score_mri(path)
    assert found == config
    NCSNpp(found).load_state_dict(weights)


def test_other_files_are_refused_with_what_is_supported(tmp_path):
    rubbish = tmp_path / "rubbish.pth"
    rubbish.write_bytes(b"no checkpoint")
    other = tmp_path / "other.pth"
    torch.save({"state_dict": {}}, other)
    for path in (rubbish, other, tmp_path / "missing.pth"):
        with pytest.raises(WeightsError):
            read_score_mri(path)


def _as_published(network: NCSNpp) -> dict[str, object]:
    """Weights of a network in the layout of the authors' checkpoints."""
    from gadget.diffusion.checkpoints import _NAMES, PREFIX, _modules

    own = network.state_dict()
    model = {"module.sigmas": torch.zeros(3)}
    for number, (name, kind) in enumerate(_modules(network)):
        for theirs, ours in _NAMES[kind].items():
            if f"{name}.{ours}" in own:
                value = own[f"{name}.{ours}"]
                if value.ndim == 4 and theirs.endswith(".W"):
                    value = value[:, :, 0, 0].T
                model[f"{PREFIX}{number}.{theirs}"] = value
    trainable = [v for k, v in model.items() if k.startswith(PREFIX) and not k.endswith(".0.W")]
    return {"step": 0, "model": model, "ema": {"decay": 0.999, "shadow_params": trainable}}

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gadget.diffusion import model_loading
from gadget.diffusion.denoisers import PreconditionedDenoiser
from gadget.diffusion.installed_models import CONFIG, find_model
from gadget.diffusion.model_folder import WEIGHTS, ModelConfig, read_config, save_model
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.networks.unet import UNet
from gadget.errors import ConfigError, DeviceMemoryError, WeightsError

CPU = torch.device("cpu")


def _denoiser(network) -> PreconditionedDenoiser:
    torch.manual_seed(1)
    denoiser = PreconditionedDenoiser(UNet(network), 0.25)
    torch.nn.init.normal_(denoiser.network.head.weight, std=0.1)
    return denoiser.requires_grad_(False)


def _change(model: Path, **values: object) -> None:
    config = json.loads((model / CONFIG).read_text())
    (model / CONFIG).write_text(json.dumps(config | values))


def _sha256(model: Path) -> str:
    return hashlib.sha256((model / WEIGHTS).read_bytes()).hexdigest()


def test_what_is_saved_is_loaded(tmp_path, tiny_network):
    config = ModelConfig(
        name="tiny", network=tiny_network, sigma_min=0.01, sigma_max=10, training_steps=3
    )
    model = tmp_path / "tiny"
    save_model(model, config, _denoiser(tiny_network).state_dict())
    prior = load_prior(str(model), CPU)
    config = read_config(model)
    assert (prior.name, prior.sha256) == ("tiny", config.sha256)
    assert (prior.sigma_min, prior.sigma_max) == (0.01, 10)
    assert config.training_steps == 3
    assert {path.name for path in model.iterdir()} == {CONFIG, WEIGHTS}
    # Models are shared: other users may read whatever they may read of new files.
    (model / "other").touch()
    assert (model / WEIGHTS).stat().st_mode == (model / "other").stat().st_mode
    x = torch.randn(2, 10, 7, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    denoiser = _denoiser(tiny_network)
    padded = torch.nn.functional.pad(torch.view_as_real(x).movedim(-1, 1), (0, 1, 0, 2))
    expected = denoiser(padded, torch.full((2,), 0.4))[..., :10, :7].movedim(1, -1)
    # Weights are stored in half precision.
    torch.testing.assert_close(
        torch.view_as_real(prior.denoise(x, 0.4)), expected, rtol=5e-3, atol=5e-3
    )


def test_loading_a_model_does_not_load_the_compiler_of_torch(tmp_path, tiny_network):
    config = ModelConfig(
        name="tiny", network=tiny_network, sigma_min=0.01, sigma_max=10, training_steps=3
    )
    save_model(tmp_path / "tiny", config, _denoiser(tiny_network).state_dict())
    program = (
        "import sys, torch; from gadget.diffusion.model_loading import load_prior; "
        "load_prior('tiny', torch.device('cpu')); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_second_save_replaces_the_first(model, tiny_network):
    first = read_config(model)
    weights = {k: v + 1 for k, v in _denoiser(tiny_network).state_dict().items()}
    save_model(model, first, weights)
    assert read_config(model).sha256 != first.sha256
    load_prior(str(model), CPU)


def test_a_name_too_long_for_a_folder_is_an_unknown_one():
    with pytest.raises(ConfigError, match=r"There is no model 'xxx"):
        find_model("x" * 300)


def test_truncated_weights_are_an_error(model):
    weights = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(weights[:-100])
    with pytest.raises(WeightsError, match=r"expected sha256 .*, got .*truncated or was replaced"):
        load_prior(str(model), CPU)


def test_another_checksum_is_an_error(model):
    _change(model, sha256="1" * 64)
    with pytest.raises(WeightsError, match=r"expected sha256 1{64}, got"):
        load_prior(str(model), CPU)


def test_missing_weights_are_an_error(model):
    (model / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"model\.safetensors cannot be read: .*No such file"):
        load_prior(str(model), CPU)


def test_a_file_that_holds_no_tensors_is_an_error(model):
    (model / WEIGHTS).write_bytes(b"These are no weights.")
    _change(model, sha256=_sha256(model))
    with pytest.raises(WeightsError, match="cannot be read"):
        load_prior(str(model), CPU)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("missing", "is missing"),
        ("unexpected", "has no place in the network"),
        ("shape", r"has the shape \[5\], expected \[8\]"),
    ],
)
def test_weights_of_another_network_are_an_error(model, change, sentence):
    weights = load_file(model / WEIGHTS)
    if change == "missing":
        del weights["network.head.bias"]
    elif change == "unexpected":
        weights["network.tail.bias"] = torch.zeros(3)
    else:
        weights["network.head.bias"] = torch.zeros(5)
    save_file(weights, model / WEIGHTS)
    _change(model, sha256=_sha256(model))
    with pytest.raises(
        WeightsError, match=rf"does not fit its config\.json: network\..*{sentence}"
    ):
        load_prior(str(model), CPU)


def test_weights_of_a_wider_network_are_told_in_a_line(model):
    config = json.loads((model / CONFIG).read_text())
    _change(model, network=config["network"] | {"widths": [8, 12]})
    with pytest.raises(WeightsError, match=r"has the shape .*, expected .*, and \d+ more\.$"):
        load_prior(str(model), CPU)


def test_a_network_that_cannot_be_built_is_an_error(model):
    _change(model, network={"kind": "ncsnpp", "stem": 8, "widths": [13], "blocks": 1})
    with pytest.raises(WeightsError, match=r"describes no possible network: num_channels \(13\)"):
        load_prior(str(model), CPU)


def test_a_network_for_which_there_is_no_memory_does_not_fit(model):
    network = {"kind": "unet", "widths": [65536, 65536], "blocks": 50, "patch": 2, "embedding": 8}
    _change(model, network=network)
    with pytest.raises(WeightsError, match=r"does not fit its config\.json: .* is missing, and"):
        load_prior(str(model), CPU)


def test_weights_that_are_not_finite_are_an_error(model):
    weights = load_file(model / WEIGHTS)
    weights["network.head.bias"][3] = torch.nan
    save_file(weights, model / WEIGHTS)
    _change(model, sha256=_sha256(model))
    with pytest.raises(WeightsError, match="holds weights that are not finite: its training div"):
        load_prior(str(model), CPU)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"network": {"kind": "transformer"}}, "network"),
        ({"network": {"kind": "unet", "widths": []}}, "network.unet.widths"),
        ({"network": {"kind": "unet", "blocks": 101}}, "network.unet.blocks"),
        ({"network": {"kind": "ncsnpp", "stem": 10**30}}, "network.ncsnpp.stem"),
        ({"network": {"kind": "ncsnpp", "widths": [8] * 500}}, "network.ncsnpp.widths"),
        ({"name": "tiny\x1b[2J"}, "name"),
        ({"sigma_max": float("inf")}, "sigma_max"),
        ({"input_scale": float("inf")}, "input_scale"),
        ({"format": 2}, "format"),
        ({"sigma_data": 0}, "sigma_data"),
        ({"sha256": "abc"}, "sha256"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_impossible_configs_are_errors(model, values, named):
    _change(model, **values)
    with pytest.raises(WeightsError, match=rf"not a usable model config\. Key '{named}' .+\.$"):
        load_prior(str(model), CPU)


def test_noise_levels_have_an_order(model):
    _change(model, sigma_min=10, sigma_max=10)
    with pytest.raises(WeightsError, match=r"sigma_min must be below sigma_max, got 10\.0 and 10"):
        load_prior(str(model), CPU)


def test_a_device_without_room_for_the_model_is_an_error(model, monkeypatch):
    def full(module, *_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(DeviceMemoryError, match="The memory of cpu is too full for the model tiny"):
        load_prior(str(model), CPU)


def test_a_computer_without_room_for_the_model_is_an_error(model, monkeypatch):
    def full(*_):
        torch.empty(2**60, device="cpu")

    monkeypatch.setattr(model_loading, "denoiser_of", full)
    with pytest.raises(DeviceMemoryError, match="The memory of cpu is too full for the model tiny"):
        load_prior(str(model), CPU)


def test_other_errors_of_a_model_stay_what_they_are(model, monkeypatch):
    def wrong(*_):
        raise RuntimeError("an error in the program")

    monkeypatch.setattr(model_loading, "denoiser_of", wrong)
    with pytest.raises(RuntimeError, match="an error in the program"):
        load_prior(str(model), CPU)


def test_a_folder_that_cannot_be_written_is_an_error(model, tiny_network):
    (model / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        save_model(model / "file", read_config(model), {})


def test_a_config_without_a_key_is_an_error(model):
    config = json.loads((model / CONFIG).read_text())
    del config["sigma_max"]
    (model / CONFIG).write_text(json.dumps(config))
    with pytest.raises(
        WeightsError, match=r"not a usable model config\. Key 'sigma_max' is missing"
    ):
        read_config(model)
    (model / CONFIG).unlink()
    with pytest.raises(WeightsError, match=r"config\.json cannot be read: No such file"):
        read_config(model)


@pytest.mark.parametrize("content", [b"", b"not json", b"\xff\xfe\x00"])
def test_a_config_that_is_no_json_is_an_error(model, content):
    (model / CONFIG).write_bytes(content)
    with pytest.raises(WeightsError, match="not a usable model config"):
        read_config(model)

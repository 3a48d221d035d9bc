from __future__ import annotations

import json

import pytest

TINY = {"kind": "unet", "widths": [4], "blocks": 1, "patch": 1, "embedding": 8}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A model folder `tiny` with random weights, where models are looked for."""
    import torch

    from gadget.diffusion.model_folder import ModelConfig, save_model
    from gadget.diffusion.networks.unet import UNet, UNetConfig
    from gadget.diffusion.prior import PreconditionedDenoiser

    network = UNetConfig.model_validate(TINY)
    torch.manual_seed(0)
    weights = PreconditionedDenoiser(UNet(network), 0.25).state_dict()
    config = ModelConfig(
        name="tiny",
        network=network,
        sigma_data=0.25,
        sigma_min=0.002,
        sigma_max=10,
        training_steps=1,
        sha256="0" * 64,
    )
    folder = tmp_path / "models" / "tiny"
    save_model(folder, config, weights)
    monkeypatch.setenv("SCORE_GADGET_MODELS", str(folder.parent))
    return folder


def test_models_are_listed_shown_and_verified(run, tiny):
    assert f"tiny                 {tiny}" in run("model", "list").stdout
    shown = run("model", "show", "tiny").stdout
    config = json.loads(shown[shown.index("{") :])
    assert config["network"] == TINY
    done = run("model", "verify", "tiny")
    assert done.returncode == 0
    assert done.stdout == f"tiny is whole: sha256 {config['sha256']}\n"


def test_an_unknown_model(run, tiny):
    done = run("model", "show", "huge")
    assert done.returncode == 1
    assert "There is no model 'huge'" in done.stderr


def test_truncated_weights_stop_a_replay_at_once(run, tiny, raw, pipeline):
    weights = tiny / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = run("model", "verify", "tiny")
    assert done.returncode == 1
    assert "truncated" in done.stderr
    node = ("reconstruct", "<property name='model' value='tiny'/>")
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline(node))
    assert done.returncode == 1
    assert "is not the file that its config.json names: expected sha256" in done.stderr

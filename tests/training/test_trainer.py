from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from gadget.diffusion.model_folder import read_config, read_weights, save_model
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.networks.unet import UNetConfig
from gadget.errors import ConfigError, DeviceMemoryError, WeightsError
from gadget.training import trainer as training
from gadget.training.examples import Examples, batches
from gadget.training.ranks import Ranks
from gadget.training.trainer import Trainer, learning_rate, weighted_loss


def _train(trainer: Trainer, volumes, steps: int) -> None:
    examples = Examples(trainer.config, volumes, trainer.config.seed)
    for _, batch in zip(
        range(steps), batches(examples, trainer.config, trainer.step, Ranks(), 0), strict=False
    ):
        trainer.update(batch)


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_devices_without_bfloat16_train_in_float32(
    make_trainer, volumes, assert_same, monkeypatch, has_bfloat16
):
    monkeypatch.setattr(training, "supports_bfloat16", lambda device: has_bfloat16)
    single, half = (make_trainer(precision=precision) for precision in ("float32", "bfloat16"))
    for trainer in (single, half):
        _train(trainer, volumes, 1)
    with pytest.raises(AssertionError) if has_bfloat16 else nullcontext():
        assert_same(single, half)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_recipe_is_one_model_bit_for_bit(make_trainer, volumes, assert_same, precision):
    one, again, other = (make_trainer(precision=precision, seed=seed) for seed in (0, 0, 1))
    for trainer in (one, again, other):
        _train(trainer, volumes, 3)
    assert_same(one, again)
    with pytest.raises(AssertionError):
        assert_same(one, other)


def test_a_restored_state_goes_on_bit_for_bit(make_trainer, volumes, assert_same):
    whole, first, second = (make_trainer() for _ in range(3))
    _train(whole, volumes, 6)
    _train(first, volumes, 4)
    first.rollbacks = 2
    torch.manual_seed(999)
    second.restore(first.state())
    assert second.rollbacks == 2
    _train(second, volumes, 2)
    assert second.step == 6
    assert_same(whole, second)


def test_more_steps_are_the_same_recipe(make_trainer):
    longer = make_trainer(steps=20)
    longer.restore(make_trainer().state())
    assert longer.config.steps == 20


def test_fewer_steps_than_there_were_are_an_error(make_trainer, volumes):
    trainer = make_trainer()
    _train(trainer, volumes, 3)
    with pytest.raises(ConfigError, match="has 3 updates, more than the 2 that the recipe asks"):
        make_trainer(steps=2).restore(trainer.state())


@pytest.mark.parametrize(
    ("changed", "named"), [({"batch": 3}, "batch"), ({"seed": 1, "patch": 32}, "seed, patch")]
)
def test_the_state_of_another_recipe_is_an_error(make_trainer, changed, named):
    with pytest.raises(ConfigError, match=rf"another recipe \(different: {named}\); restore the"):
        make_trainer(**changed).restore(make_trainer().state())


def test_a_recipe_with_an_unknown_field_is_another_one(make_trainer):
    state = make_trainer().state()
    state["config"] = json.dumps(json.loads(state["config"]) | {"dropout": 0.5})
    with pytest.raises(ConfigError, match=r"another recipe \(different: dropout\)"):
        make_trainer().restore(state)


@pytest.mark.parametrize("part", ["weights", "average"])
def test_the_state_of_another_version_of_the_network_is_an_error(make_trainer, part):
    state = make_trainer().state()
    state[part] = {name.replace("head", "tail"): value for name, value in state[part].items()}
    with pytest.raises(
        ConfigError, match=r"another version of score-gadget: network\.head\.weight"
    ):
        make_trainer().restore(state)


def test_the_average_lags_behind_the_weights(make_trainer, volumes):
    trainer = make_trainer(ema_share=0.5)
    start = {k: v.clone() for k, v in trainer.denoiser.state_dict().items()}
    _train(trainer, volumes, 10)
    now = trainer.denoiser.state_dict()
    name = "network.head.weight"
    moved = (now[name] - start[name]).norm()
    followed = (trainer.average[name] - start[name]).norm()
    assert 0 < followed < moved


def test_the_average_of_the_first_step_is_the_weights(make_trainer, volumes):
    trainer = make_trainer(ema_share=0.9)
    _train(trainer, volumes, 1)
    for name, value in trainer.denoiser.state_dict().items():
        torch.testing.assert_close(trainer.average[name], value)


def test_the_averaged_weights_denoise(make_trainer):
    trainer = make_trainer()
    generator = torch.Generator().manual_seed(0)
    noisy, sigma = torch.randn(1, 2, 16, 16, generator=generator), torch.tensor([0.3])
    # The head of a new network is 0.
    linear = trainer.denoiser(noisy, sigma)
    torch.testing.assert_close(trainer.denoise(noisy, sigma), linear)
    trainer.average["network.head.bias"] += 1
    assert not torch.allclose(trainer.denoise(noisy, sigma), linear)
    torch.testing.assert_close(trainer.denoiser(noisy, sigma), linear)


def test_weights_that_are_no_numbers_are_noticed(make_trainer):
    trainer = make_trainer()
    assert trainer.is_finite()
    with torch.no_grad():
        trainer.denoiser.network.head.bias[0] = torch.inf
    assert not trainer.is_finite()


def test_a_training_may_begin_from_a_model(make_trainer, models):
    trainer = make_trainer(initial="tiny")
    prior = load_prior("tiny", torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 16, dtype=torch.complex64, generator=generator)
    noisy = torch.view_as_real(x).movedim(-1, 1)
    denoised = trainer.denoise(noisy, torch.tensor([0.3])).movedim(1, -1)
    torch.testing.assert_close(torch.view_as_real(prior.denoise(x, 0.3)), denoised)
    other = make_trainer().denoiser.state_dict()["network.stem.weight"]
    assert not torch.equal(trainer.average["network.stem.weight"], other)


def test_a_model_to_begin_from_must_have_the_recipes_network(make_trainer, models):
    with pytest.raises(ConfigError, match="cannot begin from 'tiny': expected a model of the rec"):
        make_trainer(initial="tiny", sigma_data=0.5)
    with pytest.raises(ConfigError, match="There is no model 'huge'"):
        make_trainer(initial="huge")


def test_weights_to_begin_from_must_be_whole(make_trainer, models, tmp_path):
    config = read_config(models / "tiny")
    weights = read_weights(models / "tiny", config)
    del weights["network.head.bias"]
    save_model(tmp_path, config, weights)
    with pytest.raises(
        WeightsError, match=r"does not fit its config\.json: network\.head\.bias is"
    ):
        make_trainer(initial=str(tmp_path))


def test_a_batch_that_cannot_be_shared_is_an_error(make_config):
    with pytest.raises(ConfigError, match="A batch of 2 cannot be shared by 3 processes"):
        Trainer(make_config(), torch.device("cpu"), Ranks(0, 3))


@pytest.mark.parametrize("sigma", [0.01, 0.25, 5.0])
def test_the_best_linear_denoiser_has_the_loss_one(sigma):
    """So that every noise level counts the same."""
    generator = torch.Generator().manual_seed(0)
    clean = 0.25 * torch.randn(2, 2, 128, 128, generator=generator)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    denoised = noisy * 0.25**2 / (0.25**2 + sigma**2)
    loss = weighted_loss(denoised, clean, torch.full((2,), sigma), 0.25)
    torch.testing.assert_close(loss, torch.ones(2), rtol=0.03, atol=0)


def test_the_learning_rate_rises_stays_and_falls(make_config):
    config = make_config(steps=100, warmup=10, cooldown=0.3, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(101)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[10:71], 1)
    np.testing.assert_allclose(rates[70:], np.linspace(1, 0, 31), atol=1e-12)
    config = make_config(steps=10, cooldown=0, warmup=1)
    assert learning_rate(config, 9) == pytest.approx(2e-3)


@pytest.mark.gpu
def test_recorded_updates_are_those_of_ordinary_ones(make_config, volumes, monkeypatch):
    config, cuda = make_config(steps=12, precision="float32"), torch.device("cuda")
    recorded = Trainer(config, cuda)
    _train(recorded, volumes, 12)
    monkeypatch.setattr("gadget.training.trainer.EAGER_UPDATES", 100)
    ordinary = Trainer(config, cuda)
    _train(ordinary, volumes, 12)
    for name, value in ordinary.average.items():
        torch.testing.assert_close(recorded.average[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_training_goes_on_on_another_device(make_config, volumes, devices):
    first, second = (Trainer(make_config(steps=16), torch.device(name)) for name in devices)
    _train(first, volumes, 8)
    state = first.state()
    state["average"] = {name: value.to(second.device) for name, value in first.average.items()}
    second.restore(state)
    _train(second, volumes, 8)
    assert second.step == 16
    assert second.is_finite()


def test_a_network_that_is_too_wide_for_the_memory_is_told(make_trainer, little_memory):
    network = UNetConfig(widths=(30_000,), blocks=1, patch=2, embedding=8)
    with pytest.raises(
        DeviceMemoryError, match=r"memory of cpu is too small .* \(widths \[30000\], 1"
    ):
        make_trainer(network=network)

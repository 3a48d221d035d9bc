from __future__ import annotations

import pytest
import torch

from gadget.training import validation
from gadget.training.validation import Validation, draw_samples, noise_levels


def test_noise_levels_are_those_of_the_recipe(make_config):
    config = make_config(sigma_min=0.01, sigma_max=1.0)
    assert noise_levels(config) == [0.015, 0.05, 0.15, 0.5]


def test_a_narrow_range_of_noise_levels_is_validated_in_its_middle(make_config):
    assert noise_levels(make_config(sigma_min=0.16, sigma_max=0.36)) == pytest.approx([0.24])


def test_the_loss_is_that_of_fixed_patches_with_fixed_noise(make_trainer, volumes):
    trainer = make_trainer()
    first, second = (Validation(trainer.config, volumes) for _ in range(2))
    losses = first.losses(trainer)
    assert list(losses) == noise_levels(trainer.config)
    torch.rand(5)
    assert second.losses(trainer) == losses
    other = make_trainer(seed=1)
    assert Validation(other.config, volumes).losses(other) == pytest.approx(losses)


def test_the_loss_is_that_of_the_averaged_weights(make_trainer, volumes):
    """A new network is the linear denoiser, whose error is known."""
    trainer = make_trainer()
    checked = Validation(trainer.config, volumes)
    losses = checked.losses(trainer)
    for sigma, loss in losses.items():
        power = float(checked.clean.square().mean()) / 0.25**2
        expected = (0.25**2 + sigma**2 * power) / (0.25**2 + sigma**2)
        assert loss == pytest.approx(expected, rel=0.1)
    with torch.no_grad():
        trainer.denoiser.network.head.bias.fill_(5)
    assert checked.losses(trainer) == losses
    trainer.average["network.head.bias"].fill_(5)
    assert all(checked.losses(trainer)[sigma] > loss + 1 for sigma, loss in losses.items())


def test_noisy_patches_have_their_noise(make_trainer, volumes):
    trainer = make_trainer()
    checked = Validation(trainer.config, volumes)
    noisy, denoised = checked.denoised(trainer, 0.5, 6)
    assert float((noisy - checked.clean[:6]).std()) == pytest.approx(0.5, rel=0.05)
    torch.testing.assert_close(denoised, noisy * 0.25**2 / (0.25**2 + 0.5**2))


class Gaussian:
    """The exact denoiser of independent normal pixels with a mean."""

    device = torch.device("cpu")

    def __init__(self, config) -> None:
        self.config = config

    def denoise(self, noisy, sigma):
        variance = sigma[:, None, None, None] ** 2
        return (noisy * 0.3**2 + 2.0 * variance) / (0.3**2 + variance)


def test_samples_are_those_of_the_prior(make_config, monkeypatch):
    monkeypatch.setattr(validation, "SAMPLING_STEPS", 100)
    samples = draw_samples(Gaussian(make_config(patch=32)))
    assert samples.shape == (8, 2, 32, 32)
    # Noise of 10 remembers that it had no mean: 0.3 / 10 of it are left.
    assert float(samples.mean()) == pytest.approx(2 * (1 - 0.3 / 10), abs=0.02)
    assert float(samples.std()) == pytest.approx(0.3, rel=0.1)
    again = draw_samples(Gaussian(make_config(patch=32)))
    assert torch.equal(samples, again)

"""Validation: denoising of held-out images with the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import default_collate

from gadget.diffusion.schedule import power_schedule
from gadget.training.config import TrainingConfig
from gadget.training.examples import Example, Examples
from gadget.training.images import Volume
from gadget.training.trainer import Trainer, weighted_loss

SIGMAS = (0.005, 0.015, 0.05, 0.15, 0.5, 1.5, 5.0)
"""Noise levels of the validation, in units of the image scale."""
PATCHES = 32
SAMPLES = 8
SAMPLING_STEPS = 24
SAMPLING_END = 0.01
"""Last noise level of a drawn sample."""


def noise_levels(config: TrainingConfig) -> list[float]:
    """Return those of `SIGMAS` that the recipe trains for, or the middle of its range."""
    within = [sigma for sigma in SIGMAS if config.sigma_min <= sigma <= config.sigma_max]
    return within or [math.sqrt(config.sigma_min * config.sigma_max)]


class Validation:
    """A fixed set of patches with fixed noise.

    Parameters
    ----------
    config
        The recipe.
    volumes
        Images of other people than the training's.
    """

    def __init__(self, config: TrainingConfig, volumes: Sequence[Volume]) -> None:
        examples = Examples(config, volumes, seed=0)
        batch: Example = default_collate([examples[number] for number in range(PATCHES)])
        self.clean, self._noise = batch.clean, batch.noise
        self._sigmas = noise_levels(config)

    def losses(self, trainer: Trainer) -> dict[float, float]:
        """Return the weighted loss at each noise level; 1 is that of the best linear denoiser."""
        return {sigma: self._loss(trainer, sigma) for sigma in self._sigmas}

    def denoised(self, trainer: Trainer, sigma: float, count: int) -> tuple[Tensor, Tensor]:
        """Return the first `count` patches with noise, and denoised."""
        noisy = (self.clean[:count] + sigma * self._noise[:count]).to(trainer.device)
        return noisy, trainer.denoise(noisy, torch.full((count,), sigma, device=trainer.device))

    def _loss(self, trainer: Trainer, sigma: float) -> float:
        losses = []
        size = trainer.config.batch
        for first in range(0, len(self.clean), size):
            clean, noise = (
                part[first : first + size].to(trainer.device) for part in (self.clean, self._noise)
            )
            level = torch.full((len(clean),), sigma, device=trainer.device)
            denoised = trainer.denoise(clean + sigma * noise, level)
            losses.append(weighted_loss(denoised, clean, level, trainer.config.sigma_data))
        return float(torch.cat(losses).mean())


def draw_samples(trainer: Trainer) -> Tensor:
    """Draw patches `[sample, 2, y, x]` from the prior, in few steps and always of the same noise.

    Euler's method on the probability flow (Karras et al. 2022, algorithm 1 without correction).
    """
    config = trainer.config
    size = (SAMPLES, 2, config.patch, config.patch)
    start = torch.randn(size, generator=torch.Generator().manual_seed(0))
    end = max(SAMPLING_END, config.sigma_min)
    levels = power_schedule(config.sigma_max, end, SAMPLING_STEPS, rho=7)
    image = config.sigma_max * start.to(trainer.device)
    for sigma, next_sigma in zip(levels, [*levels[1:], 0.0], strict=True):
        level = torch.full((SAMPLES,), sigma, device=trainer.device)
        denoised = trainer.denoise(image, level)
        image = denoised + next_sigma / sigma * (image - denoised)
    return image

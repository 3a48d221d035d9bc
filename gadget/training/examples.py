"""Training examples: clean patches, noise and noise levels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gadget.training.augment import PatchSampler
from gadget.training.config import TrainingConfig
from gadget.training.images import Volume
from gadget.training.ranks import Ranks

MAX_WORKERS = 16
"""Processes that draw examples while a GPU computes: eight draw as many as an H100 takes to train
`brain-base`, with nothing to spare."""


class Example(NamedTuple):
    """One training example; several are stacked to a batch."""

    clean: Tensor
    """`[2, y, x]`, real and imaginary part."""
    noise: Tensor
    """`[2, y, x]` of unit variance."""
    sigma: Tensor
    """Noise level."""

    def to(self, device: torch.device) -> Example:
        """Return the example, or the batch, on another device."""
        return Example(*(part.to(device, non_blocking=True) for part in self))


class Examples(Dataset[Example]):
    """Examples by index: the same seed and index give the same example."""

    def __init__(self, config: TrainingConfig, volumes: Sequence[Volume], seed: int) -> None:
        self._config = config
        self._sampler = PatchSampler(volumes, config.patch, seed)

    def __getitem__(self, number: int) -> Example:
        clean, generator = self._sampler.draw(number)
        sigma = draw_sigma(self._config, generator)
        return Example(clean, torch.randn(clean.shape, generator=generator), sigma)


def draw_sigma(config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Draw a noise level, log-normal within the recipe's range."""
    log_sigma = config.log_sigma_mean + config.log_sigma_std * torch.randn((), generator=generator)
    return log_sigma.exp().clamp(config.sigma_min, config.sigma_max)


def batches(
    examples: Examples, config: TrainingConfig, start: int, ranks: Ranks, workers: int
) -> Iterator[Example]:
    """Yield this process's share of the batch of each step from `start` on.

    The batches of a step are the same for any number of ranks and of `workers`, the processes that
    draw examples ahead.
    """
    share = config.batch // ranks.size
    first = ranks.rank * share
    numbers = (
        [step * config.batch + first + i for i in range(share)]
        for step in range(start, config.steps)
    )
    return iter(
        DataLoader(
            examples,
            batch_sampler=numbers,
            num_workers=workers,
            # The images are mapped to memory: forked processes share them, others would copy.
            multiprocessing_context="fork" if workers else None,
            pin_memory=workers > 0 and torch.cuda.is_available(),
        )
    )


def loader_workers(device: torch.device, ranks: Ranks) -> int:
    """Return the number of data-loading processes: none where the CPU trains, too."""
    if device.type == "cpu":
        return 0
    return min(MAX_WORKERS, max(1, (os.cpu_count() or 1) // ranks.size - 1))

"""The methods of this package."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gadget.diffusion.devices import select_device
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.prior import Prior
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.evaluation.methods.method import Estimate
from gadget.mri.kspace import KSpace


class CountingPrior:
    """A prior that counts the complex images that it is asked to denoise."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self.name = prior.name
        self.sha256 = prior.sha256
        self.sigma_min = prior.sigma_min
        self.sigma_max = prior.sigma_max
        self.any_orientation = prior.any_orientation
        self.evaluations = 0

    @property
    def device(self) -> torch.device:
        """Where the prior computes."""
        return self._prior.device

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Denoise images `[batch, y, x]`, and count them."""
        self.evaluations += len(x)
        return self._prior.denoise(x, sigma)


class ScoreGadget:
    """A method of this package with its settings.

    Parameters
    ----------
    name, label
        As in `Method`.
    settings
        How to reconstruct.
    prior
        The prior of the samplers.
    """

    def __init__(
        self, name: str, label: str, settings: SamplerSettings, prior: CountingPrior | None = None
    ) -> None:
        self.name = name
        self.label = label
        self._settings = settings
        self._prior = prior
        self._reconstructor = Reconstructor(settings, prior)

    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        """Yield the one image."""
        before = self._prior.evaluations if self._prior else 0
        started = time.monotonic()
        result = self._reconstructor.reconstruct(kspace)
        seconds = time.monotonic() - started
        counted = self._prior.evaluations - before if self._prior else None
        yield Estimate(
            image=np.abs(result.image[0]).astype(np.float32),
            seconds=seconds,
            std=result.std[0] if result.std is not None else None,
            evaluations=counted / self._settings.samples if counted is not None else None,
            note=f"fell back to {result.method}: {result.fallback}" if result.fallback else "",
        )


def load_counting_prior(model: str, device: str) -> CountingPrior:
    """Load a prior for `ScoreGadget`.

    Raises
    ------
    ConfigError
        There is no such model or device.
    WeightsError
        The model is damaged.
    """
    return CountingPrior(load_prior(model, select_device(device)))

"""The prior of the fast sampler, which is kept from going astray."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.diffusion.prior import Prior
from gadget.diffusion.samplers.highlights import split_highlights
from gadget.diffusion.samplers.orientations import denoise_in_orientation
from gadget.errors import ReconError

MAX_CHANGE = 5.0
"""Largest change of a pixel by the prior, in units of the noise level, which one of 3e5 pixels of
noise exceeds. Where the error of an image is far above the level, a prior may go astray."""
MAX_EXCESS = 0.5
"""Largest share of pixels that a prior would change by more: of one that knows no such images at
all, nothing is believed."""


class LimitedDenoiser:
    """The prior, whose changes of an image are limited to the size of noise."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._excess: list[Tensor] = []
        """Share of the pixels whose change was limited, at each level that of the worst problem."""

    def __call__(self, images: list[Tensor], levels: list[float], number: int) -> list[Tensor]:
        """Denoise the images `[sample, y, x]` of each problem at its own level, in one batch."""
        batch = torch.cat(images)
        sigmas = torch.tensor(levels, dtype=torch.float32, device=batch.device)
        sigmas = sigmas.clamp(max=self._prior.sigma_max).repeat_interleave(len(images[0]))
        clipped, highlights = split_highlights(batch, sigmas)
        change = denoise_in_orientation(self._prior, clipped, sigmas, number) + highlights - batch
        allowed = MAX_CHANGE * sigmas[:, None, None] / change.abs().clamp(min=1e-12)
        self._excess.append((allowed < 1).float().reshape(len(images), -1).mean(dim=1).max())
        return list(torch.split(batch + change * allowed.clamp(max=1), len(images[0])))

    def check(self) -> None:
        """Raise `ReconError` if the prior went astray; not at each level, for a GPU's sake."""
        excess = float(torch.stack(self._excess).max())
        if excess > MAX_EXCESS:
            raise ReconError(
                f"the sampler went astray: the prior would change {excess:.0%} of the pixels by "
                f"more than {MAX_CHANGE:g} times the noise"
            )

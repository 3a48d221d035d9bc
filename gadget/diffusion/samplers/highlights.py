"""Split off intensities above the prior's training range."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_MAGNITUDE = 2.0
"""Largest magnitude of a training image with scale 1, apart from rare pixels."""
NOISE_MARGIN = 3.0
"""Allowance for noise above it, in units of the noise level."""


def split_highlights(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return noisy images clipped to the prior's training range, and the excess.

    A vessel or a marker of few pixels, many times brighter than tissue, does not enter the
    intensity scale and is outside a network's training range, which would darken it. The excess is
    far above the noise and needs no denoising.

    Parameters
    ----------
    x
        Noisy images `[sample, y, x]`, in units of their scale.
    sigma
        Noise level `[sample]`.
    """
    limit = (MAX_MAGNITUDE + NOISE_MARGIN * sigma)[:, None, None]
    clipped = x * (limit / x.abs().clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1)
    return clipped, x - clipped

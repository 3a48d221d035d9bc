"""What is brighter than any image that a prior was trained on."""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTEST = 2.0
"""Magnitude that images of the scale 1 rarely exceed."""
NOISE_ABOVE = 3.0
"""What noise may add to it, in units of the noise level."""


def split_highlights(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return noisy images as a prior may see them, and what they exceed that by.

    A vessel or a marker of few pixels, many times brighter than tissue, does not enter the scale of
    intensity, and a network has no idea of it: it makes it darker. The excess is far above the
    noise, so there is nothing to denoise in it.

    Parameters
    ----------
    x
        Noisy images `[sample, y, x]`, in units of their scale.
    sigma
        Noise level `[sample]`.
    """
    limit = (BRIGHTEST + NOISE_ABOVE * sigma)[:, None, None]
    seen = x * (limit / x.abs().clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1)
    return seen, x - seen

"""The 1/k amplitude spectrum of natural images."""

from __future__ import annotations

import torch
from torch import Tensor


def natural_amplitudes(shape: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Return the expected amplitude spectrum `[ky, kx]` of a natural image.

    Falls as ~ 1/k (Field, Relations between the statistics of natural images and the response
    properties of cortical cells, J Opt Soc Am A 1987, doi:10.1364/JOSAA.4.002379). The mean square
    is 1, the origin is at index 0.
    """
    ky, kx = (torch.fft.fftfreq(n, 1 / n, device=device) for n in shape)
    amplitudes = torch.rsqrt(1 + ky[:, None] ** 2 + kx**2)
    return amplitudes / amplitudes.square().mean().sqrt()

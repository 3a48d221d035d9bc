"""The centre of k-space, cut to a small matrix.

What is smooth is seen at low resolution: coil sensitivities are found there, where an iteration
costs a tenth of what it costs on the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gadget.mri.operators.fourier import fftc, ifftc

MATRIX = 96
"""Edge of the part of k-space that the sensitivities are found on [points]."""
MARGIN = 8
"""Points along the edge of that part that are not compared: those beyond it reach them."""


@dataclass(frozen=True)
class Middle:
    """Which part of k-space that is."""

    part: tuple[slice, slice]
    """Along ky and kx."""
    measured: Tensor
    """Measured points of the part `[ky, kx]`."""
    compared: Tensor
    """Those that the sensitivities must explain."""

    @classmethod
    def of(cls, mask: Tensor) -> Middle:
        """Return the middle of a measurement of the points `mask` `[ky, kx]`, centred."""
        part = (_middle(mask.shape[0], MATRIX), _middle(mask.shape[1], MATRIX))
        inner = [
            _middle(size, MATRIX - 2 * MARGIN if size > MATRIX else MATRIX) for size in mask.shape
        ]
        compared = torch.zeros_like(mask)
        compared[inner[0], inner[1]] = mask[inner[0], inner[1]]
        if not compared.any():
            return cls((slice(None), slice(None)), mask, mask)
        return cls(part, mask[part], compared[part])

    def cut(self, kspace: Tensor) -> Tensor:
        """Return the compared points of centred k-space `[coil, ky, kx]`, on the small matrix."""
        return kspace[:, self.part[0], self.part[1]] * self.compared

    def lowered(self, image: Tensor) -> Tensor:
        """Return an image `[y, x]` at the low resolution."""
        return ifftc(fftc(image)[self.part])

    def raised(self, image: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return such an image on the whole matrix (y, x)."""
        kspace = image.new_zeros(shape)
        kspace[self.part] = fftc(image)
        return ifftc(kspace)


def _middle(size: int, length: int) -> slice:
    """Return the middle of an axis of that size."""
    length = min(size, length)
    start = size // 2 - length // 2
    return slice(start, start + length)

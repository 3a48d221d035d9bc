"""The calibration region: the low spatial frequencies that coil sensitivities are fitted to.

Sensitivities are smooth, so that low resolution is enough: on the small matrix an iteration costs a
tenth of what it costs on the full one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.sampling.centre import central

MATRIX = 96
"""Edge of the calibration region [points]."""
MARGIN = 8
"""Points along its edge that are not fitted: k-space beyond it leaks into them."""


@dataclass(frozen=True)
class CalibrationRegion:
    """The calibration region of a sampling mask."""

    index: tuple[slice, slice]
    """The region along ky and kx."""
    mask: Tensor
    """Measured points of the region `[ky, kx]`."""
    fit_mask: Tensor
    """Those of them that the sensitivities are fitted to."""

    @classmethod
    def of(cls, mask: Tensor) -> CalibrationRegion:
        """Return the calibration region of a centred sampling mask `[ky, kx]`."""
        index = (central(mask.shape[0], MATRIX), central(mask.shape[1], MATRIX))
        inner = [
            central(size, MATRIX - 2 * MARGIN if size > MATRIX else MATRIX) for size in mask.shape
        ]
        fit_mask = torch.zeros_like(mask)
        fit_mask[inner[0], inner[1]] = mask[inner[0], inner[1]]
        if not fit_mask.any():
            return cls((slice(None), slice(None)), mask, mask)
        return cls(index, mask[index], fit_mask[index])

    def crop(self, kspace: Tensor) -> Tensor:
        """Return the points to fit of centred k-space `[coil, ky, kx]`, on the small matrix."""
        return kspace[:, self.index[0], self.index[1]] * self.fit_mask

    def downsample(self, image: Tensor) -> Tensor:
        """Return an image `[y, x]` at the resolution of the region."""
        return ifftc(fftc(image)[self.index])

    def zero_fill(self, image: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return such an image zero-filled to the full matrix (y, x)."""
        kspace = image.new_zeros(shape)
        kspace[self.index] = fftc(image)
        return ifftc(kspace)

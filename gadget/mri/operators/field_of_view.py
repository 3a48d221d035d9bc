"""The field of view of a measurement, and the larger matrix of an object that folds over itself.

What lies beyond an edge along a phase encoding appears at the opposite one. No coil has one
sensitivity there: the image has to reach beyond the field of view, and folds when it is measured
(Holme et al., ENLIVE: an efficient nonlinear method for calibrationless and robust parallel
imaging, Sci Rep 2019, doi:10.1038/s41598-019-39888-7, take several images on one matrix instead).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class FieldOfView:
    """The matrix of a measurement, and how far images reach beyond it."""

    matrix: tuple[int, int]
    """Points of k-space (ky, kx)."""
    reach: tuple[float, float] = (0.0, 0.0)
    """How far images reach beyond either edge along y and x, in fields of view."""

    @property
    def margins(self) -> tuple[int, int]:
        """Rows and columns of an image beyond either edge."""
        rows, columns = (int(r * n) for r, n in zip(self.reach, self.matrix, strict=True))
        return rows, columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        rows, columns = (n + 2 * m for n, m in zip(self.matrix, self.margins, strict=True))
        return rows, columns

    @property
    def extended_axes(self) -> tuple[int, ...]:
        """Axes (-2 and/or -1) along which images reach beyond the edges."""
        return tuple(axis for axis in (-2, -1) if self.margins[axis])

    def at(self, matrix: tuple[int, int]) -> FieldOfView:
        """Return the same field of view at another resolution."""
        return replace(self, matrix=matrix)

    def positions(self, axis: int) -> NDArray[np.float64]:
        """Return where the pixels of an image are along an axis, -1 and 1 being its ends."""
        size = self.shape[axis]
        # Not the rounded length: images of one field of view may differ in resolution.
        length = self.matrix[axis] * (1 + 2 * self.reach[axis])
        return 2 * (np.arange(size) - size // 2) / length

    def fold(self, images: Tensor) -> Tensor:
        """Fold images `[..., y, x]` onto the matrix; the origin is at index 0 of both."""
        for axis in self.extended_axes:
            images = _fold(images, axis, self.matrix[axis])
        return images

    def unfold(self, images: Tensor) -> Tensor:
        """Repeat images on the matrix beyond its edges, the adjoint of `fold`."""
        for axis in self.extended_axes:
            images = _unfold(images, axis, self.shape[axis])
        return images

    def pad(self, images: Tensor) -> Tensor:
        """Place centred images on the matrix `[..., y, x]` among zeros."""
        rows, columns = self.margins
        return F.pad(images, (columns, columns, rows, rows))

    def crop(self, images: Tensor) -> Tensor:
        """Return what of centred images `[..., y, x]` lies within the field of view."""
        for axis in self.extended_axes:
            images = images.narrow(axis, self.margins[axis], self.matrix[axis])
        return images


def _fold(images: Tensor, axis: int, size: int) -> Tensor:
    before = images.shape[axis] // 2
    after = images.shape[axis] - before
    shape = list(images.shape)
    shape[axis] = size
    folded = images.new_zeros(shape)
    folded.narrow(axis, 0, after).add_(images.narrow(axis, 0, after))
    folded.narrow(axis, size - before, before).add_(images.narrow(axis, after, before))
    return folded


def _unfold(images: Tensor, axis: int, size: int) -> Tensor:
    before = size // 2
    after = size - before
    start = images.shape[axis] - before
    parts = [images.narrow(axis, 0, after), images.narrow(axis, start, before)]
    return torch.cat(parts, dim=axis)

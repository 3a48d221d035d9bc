"""Volumes split into independent 2D planes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import ifftc

PlaneIndex: TypeAlias = "tuple[slice | int, ...]"
"""Index of a plane in the volume `[z, y, x]`."""


@dataclass(frozen=True)
class Plane:
    """K-space of one plane."""

    data: NDArray[np.complex64]
    """K-space `[coil, row, column]`."""
    weight: NDArray[np.float32]
    """Averages per point `[row, column]`."""
    index: PlaneIndex
    calibration: Plane | None = None
    """Calibration lines, on the same grid."""

    def transposed(self) -> Plane:
        """Return the plane with rows and columns exchanged, contiguous in memory."""
        return replace(
            self,
            data=np.ascontiguousarray(self.data.swapaxes(1, 2)),
            weight=np.ascontiguousarray(self.weight.T),
            calibration=self.calibration.transposed() if self.calibration else None,
        )

    def moved(self, rows: int, columns: int) -> Plane:
        """Return the plane with its k-space moved around the grid."""
        shift = (rows, columns)
        return replace(
            self,
            data=np.roll(self.data, shift, (1, 2)),
            weight=np.roll(self.weight, shift, (0, 1)),
            calibration=self.calibration.moved(rows, columns) if self.calibration else None,
        )


def split_planes(kspace: KSpace) -> Iterator[Plane]:
    """Split a buffer into planes.

    A 2D scan is one plane. A volume is transformed along the partition direction where all
    partitions were sampled alike (its slices then look like the images that priors know), else
    along the readout, which leaves (kz, ky) planes. Calibration lines are split as the image is,
    whatever their own pattern is.
    """
    planes = _split(kspace, kspace.weight)
    if kspace.calibration is None:
        yield from planes
        return
    for plane, lines in zip(planes, _split(kspace.calibration, kspace.weight), strict=True):
        yield replace(plane, calibration=lines)


def _split(kspace: KSpace, pattern: NDArray[np.float32]) -> Iterator[Plane]:
    """Split a buffer as one with the weights `pattern` `[kz, ky, kx]` is split."""
    data, weight = kspace.data, kspace.weight
    partitions = data.shape[1]
    if partitions == 1:
        yield Plane(data[:, 0], weight[0], (0,))
    elif bool((pattern == pattern[:1]).all()):
        slices = ifftc(data, (1,)).astype(np.complex64)
        sampled = weight.max(axis=0)
        for z in range(partitions):
            yield Plane(slices[:, z], sampled, (z,))
    else:
        columns = ifftc(data, (3,)).astype(np.complex64)
        sampled = weight.max(axis=2)
        for x in range(data.shape[3]):
            yield Plane(columns[:, :, :, x], sampled, (slice(None), slice(None), x))

"""Volumes split into independent 2D planes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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

    def transposed(self) -> Plane:
        """Return the plane with rows and columns exchanged, contiguous in memory."""
        data = np.ascontiguousarray(self.data.swapaxes(1, 2))
        return replace(self, data=data, weight=np.ascontiguousarray(self.weight.T))

    def moved(self, rows: int, columns: int) -> Plane:
        """Return the plane with its k-space moved around the grid."""
        shift = (rows, columns)
        data, weight = np.roll(self.data, shift, (1, 2)), np.roll(self.weight, shift, (0, 1))
        return replace(self, data=data, weight=weight)


def split_planes(
    data: NDArray[np.complex64],
    weight: NDArray[np.float32],
    pattern: NDArray[np.float32] | None = None,
) -> Iterator[Plane]:
    """Split k-space `[coil, kz, ky, kx]` with weights `[kz, ky, kx]` into planes.

    A 2D scan is one plane. A volume is transformed along the partition direction where all
    partitions were sampled alike (its slices then look like the images that priors know), else
    along the readout, which leaves (kz, ky) planes.

    Parameters
    ----------
    data, weight
        What is split.
    pattern
        Weights of the scan that decides how to split; `weight` itself, if not given.
    """
    pattern = weight if pattern is None else pattern
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

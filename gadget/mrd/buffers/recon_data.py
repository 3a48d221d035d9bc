"""K-space buffers and buckets as Gadgetron sends them (messages 1023 and 1050).

Gadgetron writes its arrays in Fortran order. Here they are C-ordered with the axes reversed, which
is the same memory: Gadgetron's `[RO, E1, E2, CHA, N, S, LOC]` is `[loc, s, n, coil, kz, ky, kx]`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError


class SamplingLimit(ctypes.Structure):
    """First, central and last sampled index along one axis."""

    _fields_ = (
        ("min", ctypes.c_uint16),
        ("center", ctypes.c_uint16),
        ("max", ctypes.c_uint16),
    )


class SamplingDescription(ctypes.Structure):
    """Encoding of one buffer: fields of view [mm] and matrices (x, y, z), limits (kx, ky, kz)."""

    _fields_ = (
        ("encoded_FOV", ctypes.c_float * 3),
        ("recon_FOV", ctypes.c_float * 3),
        ("encoded_matrix", ctypes.c_uint16 * 3),
        ("recon_matrix", ctypes.c_uint16 * 3),
        ("sampling_limits", SamplingLimit * 3),
    )


@dataclass
class ReconBuffer:
    """Gridded readouts and what is known about each of them."""

    data: NDArray[np.complex64]
    """Samples `[loc, s, n, coil, kz, ky, kx]`, 0 where not measured."""
    headers: NDArray[np.void]
    """Headers `[loc, s, n, kz, ky]` of type `HEADER_DTYPE`; blank where no line was measured."""
    sampling: SamplingDescription = field(default_factory=SamplingDescription)
    trajectory: NDArray[np.float32] | None = None
    """Trajectory `[loc, s, n, kz, ky, kx, dimension]`, absent for Cartesian data."""
    density: NDArray[np.float32] | None = None
    """Weights `[loc, s, n, kz, ky, kx]`. Our `gather` writes averages per point, 0 where not
    measured; Gadgetron's `BucketToBufferGadget` leaves them absent."""

    def check_shapes(self) -> None:
        """Raise `DataError` if the arrays do not fit together."""
        shape = self.data.shape
        if len(shape) != 7 or self.headers.shape != (*shape[:3], *shape[4:6]):
            raise DataError(
                "A k-space buffer must hold data [loc, s, n, coil, kz, ky, kx] and headers "
                f"[loc, s, n, kz, ky], got {list(shape)} and {list(self.headers.shape)}."
            )
        if self.density is not None and self.density.shape != (*shape[:3], *shape[4:]):
            raise DataError(
                f"The density of a k-space buffer must be {[*shape[:3], *shape[4:]]} like its "
                f"data, got {list(self.density.shape)}."
            )


@dataclass
class ReconBit:
    """The image lines of one encoding space and, where there are any, its calibration lines."""

    data: ReconBuffer
    calibration: ReconBuffer | None = None


@dataclass
class ReconData:
    """Message 1023: one bit per encoding space."""

    bits: list[ReconBit]


@dataclass
class AcquisitionBucket:
    """Message 1050: ungridded readouts, collected by a trigger. Its statistics are not kept."""

    data: list[ismrmrd.Acquisition] = field(default_factory=list)
    calibration: list[ismrmrd.Acquisition] = field(default_factory=list)
    waveforms: list[ismrmrd.Waveform] = field(default_factory=list)

"""Acquisitions taken apart and put together cheaply."""

from __future__ import annotations

import math
from typing import NamedTuple

import ismrmrd
import numpy as np
from numpy.typing import NDArray


class Key(NamedTuple):
    """What the readouts of one image have in common."""

    encoding: int
    slice: int
    contrast: int
    phase: int
    set: int
    repetition: int

    @property
    def name(self) -> str:
        """The key in words."""
        return ", ".join(f"{field} {value}" for field, value in self._asdict().items())

    def likeness(self, other: Key) -> tuple[int, float]:
        """Return how well the coils of another image, better of an earlier one, describe these."""
        same = sum(a == b for a, b in zip(self, other, strict=True))
        age = self.repetition - other.repetition
        return same, -age if age >= 0 else -math.inf


def header_of(acquisition: ismrmrd.Acquisition) -> ismrmrd.AcquisitionHeader:
    """Return the header itself, to be read only.

    `getHead` copies it attribute by attribute, which takes as long as all the rest that is done
    with a readout.
    """
    return acquisition._head


def key_of(header: ismrmrd.AcquisitionHeader) -> Key:
    """Return which image a readout belongs to."""
    idx = header.idx
    return Key(
        header.encoding_space_ref,
        idx.slice,
        idx.contrast,
        idx.phase,
        idx.set,
        idx.repetition,
    )


def with_samples(
    acquisition: ismrmrd.Acquisition, samples: NDArray[np.complex64]
) -> ismrmrd.Acquisition:
    """Return a copy of an acquisition that holds other samples `[coil, kx]`."""
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(header_of(acquisition))
    header.active_channels, header.number_of_samples = samples.shape
    data = np.ascontiguousarray(samples, np.complex64)
    return ismrmrd.Acquisition(header, data, acquisition.traj)

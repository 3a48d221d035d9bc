"""Keys, headers and copies of acquisitions, made cheaply."""

from __future__ import annotations

import math
from typing import NamedTuple

import ismrmrd
import numpy as np
from numpy.typing import NDArray


class ImageKey(NamedTuple):
    """Identifies an image by the counters that its readouts share."""

    encoding: int
    slice: int
    contrast: int
    phase: int
    set: int
    repetition: int

    @property
    def name(self) -> str:
        """The counters as text."""
        return ", ".join(f"{field} {value}" for field, value in self._asdict().items())

    def similarity(self, other: ImageKey) -> tuple[int, float]:
        """Rank another image as source of coil maps: most equal counters, then latest earlier."""
        same = sum(a == b for a, b in zip(self, other, strict=True))
        age = self.repetition - other.repetition
        return same, -age if age >= 0 else -math.inf


def header_of(acquisition: ismrmrd.Acquisition) -> ismrmrd.AcquisitionHeader:
    """Return the header without copying it, to be read only.

    `getHead` copies it attribute by attribute, which takes as long as all other work on a readout.
    """
    return acquisition._head


def key_of(header: ismrmrd.AcquisitionHeader) -> ImageKey:
    """Return which image a readout belongs to."""
    idx = header.idx
    return ImageKey(
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
    """Return a copy of an acquisition with new samples `[coil, kx]`."""
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(header_of(acquisition))
    header.active_channels, header.number_of_samples = samples.shape
    data = np.ascontiguousarray(samples, np.complex64)
    return ismrmrd.Acquisition(header, data, acquisition.traj)

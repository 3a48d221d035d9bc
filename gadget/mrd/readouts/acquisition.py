"""Headers of acquisitions, one or many in an array, and copies; made cheaply."""

from __future__ import annotations

from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

HEADER_DTYPE: np.dtype[Any] = np.dtype(ismrmrd.AcquisitionHeader)
"""An acquisition header as one element of a structured array, the same 340 bytes."""

_HEADER, _COUNTERS = ismrmrd.AcquisitionHeader, ismrmrd.EncodingCounters
_FLAGS = slice(_HEADER.flags.offset, _HEADER.measurement_uid.offset)
_SAMPLES = slice(_HEADER.number_of_samples.offset, _HEADER.position.offset)
_IMAGE = slice(
    _HEADER.idx.offset + _COUNTERS.average.offset, _HEADER.idx.offset + _COUNTERS.user.offset
)


def header_of(acquisition: ismrmrd.Acquisition) -> ismrmrd.AcquisitionHeader:
    """Return the header without copying it, to be read only.

    `getHead` copies it attribute by attribute, which takes as long as all other work on a readout.
    """
    return acquisition._head


def header_kind(header: ismrmrd.AcquisitionHeader | bytes | bytearray) -> bytes:
    """Return what tells how a readout is to be handled, but for which line of its image it is.

    These are its flags, its numbers of coils and samples, their dwell time, and the counters of the
    image. The header may be given as bytes.
    """
    raw = bytes(header)
    return raw[_FLAGS] + raw[_SAMPLES] + raw[_IMAGE]


def header_at(headers: NDArray[np.void], index: tuple[int, ...]) -> ismrmrd.AcquisitionHeader:
    """Return a copy of one element of a header array."""
    return ismrmrd.AcquisitionHeader.from_buffer_copy(headers[index].tobytes())


def with_samples(
    acquisition: ismrmrd.Acquisition, samples: NDArray[np.complex64]
) -> ismrmrd.Acquisition:
    """Return a copy of an acquisition with new samples `[coil, kx]`."""
    header = ismrmrd.AcquisitionHeader.from_buffer_copy(header_of(acquisition))
    header.active_channels, header.number_of_samples = samples.shape
    data = np.ascontiguousarray(samples, np.complex64)
    return ismrmrd.Acquisition(header, data, acquisition.traj)

"""Interface of raw data files of any format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

TimedMessage: TypeAlias = tuple[int, bytes]
"""Time stamp and bytes of a message."""


class Readouts(NamedTuple):
    """A block of successive readouts."""

    heads: NDArray[np.void]
    """Packed headers, of type `HEADER_DTYPE`."""
    trajectories: NDArray[Any]
    """Coordinates of each readout: flat float32 arrays."""
    samples: NDArray[Any]
    """Samples `[coil, kx, part]` of each readout, the parts real and imaginary: flat float32
    arrays."""


class RawSource(Protocol):
    """One measurement in an open HDF5 file."""

    format: str
    """Name of the file format."""
    group: str
    """Where in the file the measurement is."""
    header_xml: bytes
    number_of_acquisitions: int
    number_of_waveforms: int

    def readouts(self) -> Iterator[Readouts]:
        """Yield the readouts, many at once."""

    def waveforms(self) -> Iterator[TimedMessage]:
        """Yield the waveforms: time stamp, and header with samples as Gadgetron reads them."""


def read_text(item: h5py.HLObject | None) -> bytes:
    """Return the text of a dataset, empty where there is none."""
    value = item[()] if isinstance(item, h5py.Dataset) and item.size else b""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0]
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return raw if raw.strip(b"\0 \t\r\n") else b""

"""Raw data in HDF5 files of the ISMRMRD library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ismrmrd.hdf5 import waveform_header_dtype
from numpy.typing import NDArray

from gadget.errors import DataError, reason
from gadget.mrd.hdf5 import readouts_of
from gadget.mrd.raw.raw_source import Readouts, TimedMessage, read_text
from gadget.mrd.readouts.acquisition import HEADER_DTYPE

WAVEFORM_DTYPE: np.dtype[Any] = np.dtype(waveform_header_dtype)
BLOCK = 256
"""Readouts that are read from the file at once."""


class IsmrmrdSource:
    """A group with `xml`, `data` and perhaps `waveforms`.

    Parameters
    ----------
    file
        Open file.
    group
        Name of the group.
    path
        Name of the file, for errors.

    Raises
    ------
    DataError
        There is no header.
    """

    format = "ISMRMRD"

    def __init__(self, file: h5py.File, group: str, path: Path) -> None:
        self.group = group
        self._path = path
        self.header_xml = read_text(file[group].get("xml"))
        if not self.header_xml:
            raise DataError(
                f"'{path}' has no header: '{group}/xml' is missing or empty, so nothing is known "
                "about the measurement. Convert the raw data again."
            )
        self._acquisitions = readouts_of(file[group], "data")
        self._waveforms = readouts_of(file[group], "waveforms")
        self.number_of_acquisitions = 0 if self._acquisitions is None else len(self._acquisitions)
        self.number_of_waveforms = 0 if self._waveforms is None else len(self._waveforms)

    def readouts(self) -> Iterator[Readouts]:
        """Yield the readouts block by block."""
        for start in range(0, self.number_of_acquisitions, BLOCK):
            rows = self._read(self._acquisitions, start)
            heads = repacked(rows["head"], HEADER_DTYPE, self._path)
            self._check_lengths(heads, rows, start)
            yield Readouts(heads, rows["traj"], rows["data"])

    def waveforms(self) -> Iterator[TimedMessage]:
        """Yield time stamp and bytes of each waveform."""
        for start in range(0, self.number_of_waveforms, BLOCK):
            rows = self._read(self._waveforms, start)
            heads = repacked(rows["head"], WAVEFORM_DTYPE, self._path)
            counts = heads["channels"].astype(int) * heads["number_of_samples"]
            for count, head, row in zip(counts, heads, rows, strict=True):
                if len(row["data"]) != count:
                    raise DataError(
                        f"A waveform in '{self._path}' announces {count} values and holds "
                        f"{len(row['data'])}. The file is damaged."
                    )
                values = np.asarray(row["data"], "<u4").tobytes()
                yield int(head["time_stamp"]), head.tobytes() + values

    def _read(self, source: h5py.Dataset, start: int) -> NDArray[np.void]:
        try:
            rows: NDArray[np.void] = source[start : start + BLOCK]
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"'{self._path}' cannot be read from readout {start} on: {reason(error)}. "
                "The file is damaged or cut short."
            ) from error
        return rows

    def _check_lengths(self, heads: NDArray[np.void], rows: NDArray[np.void], start: int) -> None:
        samples = heads["number_of_samples"].astype(int)
        for name, expected in (
            ("data", 2 * samples * heads["active_channels"]),
            ("traj", samples * heads["trajectory_dimensions"]),
        ):
            lengths = np.array([len(row) for row in rows[name]])
            wrong = np.flatnonzero(lengths != expected)
            if wrong.size:
                at = int(wrong[0])
                raise DataError(
                    f"Readout {start + at} in '{self._path}' announces {expected[at]} numbers in "
                    f"'{name}' and holds {lengths[at]}. The file is damaged."
                )


def repacked(heads: NDArray[np.void], dtype: np.dtype[Any], path: Path) -> NDArray[np.void]:
    """Copy headers to a repacked dtype field by field; padding and order depend on the compiler.

    Raises
    ------
    DataError
        A field is missing.
    """
    result = np.zeros(heads.shape, dtype)
    names = heads.dtype.names or ()
    for name in dtype.names or ():
        if name not in names:
            raise DataError(
                f"The headers in '{path}' have no field '{name}': the file was written by another "
                "version of ISMRMRD. Convert it again."
            )
        inner = result.dtype[name]
        result[name] = repacked(heads[name], inner, path) if inner.names else heads[name]
    return result

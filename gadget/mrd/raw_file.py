"""ISMRMRD raw data in HDF5 files, read fast and without touching the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import ismrmrd
import numpy as np
from ismrmrd.hdf5 import waveform_header_dtype
from numpy.typing import NDArray

from gadget.errors import ConfigError, DataError
from gadget.mrd.recon_data import HEADER_DTYPE

ACQUISITION_ID = struct.pack("<H", 1008)
WAVEFORM_ID = struct.pack("<H", 1026)
DEFAULT_GROUP = "dataset"
BLOCK = 256

WAVEFORM_DTYPE: np.dtype[Any] = np.dtype(waveform_header_dtype)
Message = tuple[int, bytes]
"""Time stamp and bytes of a message."""


class RawFile:
    """One measurement in an ISMRMRD file, a context manager.

    Parameters
    ----------
    path
        HDF5 file.
    group
        Group that holds the measurement; by default `dataset`, or the only one there is.

    Raises
    ------
    ConfigError
        There is no such file or no such group.
    DataError
        The file is not HDF5, or holds no raw data, or raw data without header or readouts.
    """

    def __init__(self, path: Path | str, group: str | None = None) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        try:
            self.group = _choose_group(self._file, self.path, group)
            here = self._file[self.group]
            self.header_xml = _read_xml(here, self.path)
            self._acquisitions = _dataset(here, "data")
            self._waveforms = _dataset(here, "waveforms")
            if not self.number_of_acquisitions:
                raise DataError(
                    f"'{self.path}' holds a header but not one readout in '{self.group}', so there "
                    "is nothing to reconstruct. Convert the raw data again."
                )
        except BaseException:
            self._file.close()
            raise

    @property
    def number_of_acquisitions(self) -> int:
        """Number of readouts, noise scans and all."""
        return len(self._acquisitions) if self._acquisitions is not None else 0

    @property
    def number_of_waveforms(self) -> int:
        """Number of physiological waveforms."""
        return len(self._waveforms) if self._waveforms is not None else 0

    def messages(self, block: int = BLOCK) -> Iterator[bytes]:
        """Yield every message (id, header, samples) as Gadgetron's client sends it.

        A waveform goes before the first readout that is later than it; those that are left follow
        the last readout.

        Parameters
        ----------
        block
            Readouts that are read from the file at once.
        """
        waveforms = self._waveform_messages(block)
        waiting = next(waveforms, None)
        for stamp, message in self._acquisition_messages(block):
            while waiting is not None and waiting[0] < stamp:
                yield waiting[1]
                waiting = next(waveforms, None)
            yield message
        if waiting is not None:
            yield from (message for _, message in chain([waiting], waveforms))

    def acquisitions(self, block: int = BLOCK) -> Iterator[ismrmrd.Acquisition]:
        """Yield every readout."""
        for heads, rows in self._blocks(block):
            for head, row in zip(heads, rows, strict=True):
                header = ismrmrd.AcquisitionHeader.from_buffer_copy(head.tobytes())
                shape = header.active_channels, header.number_of_samples
                samples = np.array(row["data"], np.float32).view(np.complex64).reshape(shape)
                trajectory = np.array(row["traj"], np.float32).reshape(
                    header.number_of_samples, header.trajectory_dimensions
                )
                yield ismrmrd.Acquisition(header, samples, trajectory)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> RawFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _blocks(self, block: int) -> Iterator[tuple[NDArray[np.void], NDArray[np.void]]]:
        """Yield packed headers and the rows of the file they belong to."""
        for start in range(0, self.number_of_acquisitions, block):
            rows = self._read(self._acquisitions, start, block)
            heads = _packed(rows["head"], HEADER_DTYPE, self.path)
            self._check_lengths(heads, rows, start)
            yield heads, rows

    def _acquisition_messages(self, block: int) -> Iterator[Message]:
        for heads, rows in self._blocks(block):
            stamps = heads["acquisition_time_stamp"].tolist()
            for stamp, head, traj, data in zip(
                stamps, heads, rows["traj"], rows["data"], strict=True
            ):
                yield (
                    stamp,
                    b"".join((ACQUISITION_ID, head.tobytes(), _floats(traj), _floats(data))),
                )

    def _waveform_messages(self, block: int) -> Iterator[Message]:
        for start in range(0, self.number_of_waveforms, block):
            rows = self._read(self._waveforms, start, block)
            heads = _packed(rows["head"], WAVEFORM_DTYPE, self.path)
            counts = heads["channels"].astype(int) * heads["number_of_samples"]
            for count, head, row in zip(counts, heads, rows, strict=True):
                if len(row["data"]) != count:
                    raise DataError(
                        f"A waveform in '{self.path}' announces {count} values and holds "
                        f"{len(row['data'])}. The file is damaged."
                    )
                values = np.asarray(row["data"], "<u4").tobytes()
                yield int(head["time_stamp"]), WAVEFORM_ID + head.tobytes() + values

    def _read(self, source: h5py.Dataset, start: int, count: int) -> NDArray[np.void]:
        try:
            rows: NDArray[np.void] = source[start : start + count]
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"'{self.path}' cannot be read from readout {start} on: {error}. "
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
                    f"Readout {start + at} in '{self.path}' announces {expected[at]} numbers in "
                    f"'{name}' and holds {lengths[at]}. The file is damaged."
                )


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    ConfigError
        There is no such file, or it may not be read.
    DataError
        It is not an HDF5 file.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"'{path}' {what}; an ISMRMRD file in HDF5 format is needed.")
    try:
        with path.open("rb"):
            pass
        return h5py.File(path, "r")
    except PermissionError as error:
        raise ConfigError(f"'{path}' may not be read: {error.strerror}.") from error
    except OSError as error:
        raise DataError(
            f"'{path}' is not a readable HDF5 file ({error}). ISMRMRD raw data are needed."
        ) from error


def _choose_group(file: h5py.File, path: Path, wanted: str | None) -> str:
    found = _raw_groups(file)
    if wanted is not None and wanted.strip("/") in found:
        return wanted.strip("/")
    if wanted is None and (DEFAULT_GROUP in found or len(found) == 1):
        return DEFAULT_GROUP if DEFAULT_GROUP in found else found[0]
    if not found:
        names = ", ".join(f"'{name}'" for name in file) or "nothing"
        raise DataError(
            f"'{path}' is HDF5 but holds no ISMRMRD raw data: a group with 'xml' and 'data' is "
            f"needed, usually 'dataset', and the file holds {names}."
        )
    names = ", ".join(f"'{name}'" for name in found)
    if wanted is not None:
        raise ConfigError(f"'{path}' has no raw data in '{wanted}'; it has some in {names}.")
    raise ConfigError(f"'{path}' has raw data in {names}; choose one of these groups.")


def _raw_groups(file: h5py.File) -> list[str]:
    found: list[str] = []

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group) and ("xml" in item or _is_raw(item.get("data"))):
            found.append(name)

    file.visititems(visit)
    return found


def _is_raw(item: h5py.HLObject | None) -> bool:
    return isinstance(item, h5py.Dataset) and "head" in (item.dtype.names or ())


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset | None:
    found = group.get(name)
    return found if _is_raw(found) else None


def _read_xml(group: h5py.Group, path: Path) -> bytes:
    item = group.get("xml")
    value = item[()] if isinstance(item, h5py.Dataset) and item.size else b""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0]
    raw = value.encode() if isinstance(value, str) else bytes(value)
    if not raw.strip(b"\0 \t\r\n"):
        raise DataError(
            f"'{path}' has no header: '{group.name.strip('/')}/xml' is missing or empty, so "
            "nothing is known about the measurement. Convert the raw data again."
        )
    return raw


def _packed(heads: NDArray[np.void], dtype: np.dtype[Any], path: Path) -> NDArray[np.void]:
    """Copy headers field by field: files pad and order them as the compiler that wrote them."""
    packed = np.zeros(heads.shape, dtype)
    names = heads.dtype.names or ()
    for name in dtype.names or ():
        if name not in names:
            raise DataError(
                f"The headers in '{path}' have no field '{name}': the file was written by another "
                "version of ISMRMRD. Convert it again."
            )
        inner = packed.dtype[name]
        packed[name] = _packed(heads[name], inner, path) if inner.names else heads[name]
    return packed


def _floats(values: NDArray[np.float32]) -> bytes:
    return np.asarray(values, "<f4").tobytes()

"""Raw data in HDF5 files, read block by block, read-only."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError, DataError
from gadget.mrd.hdf5 import HDF5_ERRORS, image_groups, open_hdf5, raw_groups
from gadget.mrd.raw.fastmri_source import KSPACE, FastMriSource, is_fastmri
from gadget.mrd.raw.ismrmrd_source import IsmrmrdSource
from gadget.mrd.raw.raw_source import RawSource, Readouts, TimedMessage

ACQUISITION_ID = struct.pack("<H", 1008)
WAVEFORM_ID = struct.pack("<H", 1026)
"""Numbers of messages, as in `gadget.stream.wire.messages`, which is built on this room."""
RAW_SUFFIXES = (".h5", ".hdf5", ".mrd")
"""Suffixes of raw data files in a folder."""
DEFAULT_GROUP = "dataset"


class RawFile:
    """One measurement in an HDF5 file of ISMRMRD or of the fastMRI dataset, a context manager.

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
            self._source = _source(self._file, self.path, group)
            if not self.number_of_acquisitions:
                raise DataError(
                    f"'{self.path}' holds a header but not one readout in '{self.group}', so there "
                    "is nothing to reconstruct. Convert the raw data again."
                )
        except BaseException as error:
            self._file.close()
            if isinstance(error, HDF5_ERRORS):
                raise DataError(
                    f"'{self.path}' is damaged: {str(error).strip(chr(39))}. Copy or convert the "
                    "raw data again."
                ) from error
            raise

    @property
    def format(self) -> str:
        """Name of the file's format."""
        return self._source.format

    @property
    def group(self) -> str:
        """Where in the file the measurement is."""
        return self._source.group

    @property
    def header_xml(self) -> bytes:
        """The XML header."""
        return self._source.header_xml

    @property
    def number_of_acquisitions(self) -> int:
        """Number of readouts, noise scans and all."""
        return self._source.number_of_acquisitions

    @property
    def number_of_waveforms(self) -> int:
        """Number of physiological waveforms."""
        return self._source.number_of_waveforms

    def messages(self) -> Iterator[bytes]:
        """Yield every message (id, header, samples) as Gadgetron's client sends it.

        Waveforms are merged by their time stamps: each before the first later readout.

        Raises
        ------
        DataError
            The file is damaged; where only waveforms are, after all readouts.
        """
        problems: list[DataError] = []
        waveforms = _intact(self._source.waveforms(), problems)
        waiting = next(waveforms, None)
        for stamp, message in self._acquisition_messages():
            while waiting is not None and waiting[0] < stamp:
                yield WAVEFORM_ID + waiting[1]
                waiting = next(waveforms, None)
            yield message
        if waiting is not None:
            yield from (WAVEFORM_ID + waveform for _, waveform in chain([waiting], waveforms))
        if problems:
            raise problems[0]

    def acquisitions(self) -> Iterator[ismrmrd.Acquisition]:
        """Yield every readout."""
        for heads, trajectories, samples in self.readouts():
            for head, traj, data in zip(heads, trajectories, samples, strict=True):
                header = ismrmrd.AcquisitionHeader.from_buffer_copy(head.tobytes())
                shape = header.active_channels, header.number_of_samples
                yield ismrmrd.Acquisition(
                    header,
                    np.array(data, np.float32).view(np.complex64).reshape(shape),
                    np.array(traj, np.float32).reshape(shape[1], header.trajectory_dimensions),
                )

    def readouts(self) -> Iterator[Readouts]:
        """Yield headers and samples, many readouts at once."""
        return self._source.readouts()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _acquisition_messages(self) -> Iterator[TimedMessage]:
        for heads, trajectories, samples in self.readouts():
            stamps = heads["acquisition_time_stamp"].tolist()
            for stamp, head, traj, data in zip(stamps, heads, trajectories, samples, strict=True):
                yield (
                    stamp,
                    b"".join((ACQUISITION_ID, head.tobytes(), _floats(traj), _floats(data))),
                )


def _source(file: h5py.File, path: Path, wanted: str | None) -> RawSource:
    found = raw_groups(file) or ([KSPACE] if is_fastmri(file) else [])
    if not found:
        held = ", ".join(f"'{name}'" for name in file) or "nothing"
        images = ", ".join(f"'{name}'" for name in image_groups(file))
        held = f"images, in {images}" if images else held
        raise DataError(
            f"'{path}' is HDF5 but holds no raw data: a group with 'xml' and 'data' is needed, "
            "usually 'dataset', or the 'kspace' and 'ismrmrd_header' of a fastMRI file; it holds "
            f"{held}."
        )
    names = ", ".join(f"'{name}'" for name in found)
    if wanted is None and len(found) > 1 and DEFAULT_GROUP not in found:
        raise ConfigError(f"'{path}' has raw data in {names}; choose one of these groups.")
    default = DEFAULT_GROUP if DEFAULT_GROUP in found else found[0]
    group = default if wanted is None else wanted.strip("/")
    if group not in found:
        raise ConfigError(f"'{path}' has no raw data in '{wanted}'; it has some in {names}.")
    if group == KSPACE and is_fastmri(file):
        return FastMriSource(file, path)
    return IsmrmrdSource(file, group, path)


def _intact(messages: Iterator[TimedMessage], problems: list[DataError]) -> Iterator[TimedMessage]:
    """Yield messages until one is damaged, whose error is noted."""
    try:
        yield from messages
    except DataError as error:
        problems.append(error)


def _floats(values: NDArray[np.float32]) -> memoryview:
    return np.asarray(values, "<f4").data

"""HDF5 files of ISMRMRD: opening them, and which groups hold what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py

from gadget.errors import ConfigError, DataError, reason

HDF5_ERRORS = (OSError, RuntimeError, LookupError, ValueError, TypeError)
"""Exceptions of h5py for files that are damaged inside."""


class BeingWritten(DataError):  # noqa: N818 - what happens, as in FileExists
    """Another program has a file open for writing."""


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    ConfigError
        There is no such file, or it may not be read.
    BeingWritten
        Another program has it open for writing.
    DataError
        It is not an HDF5 file.
    """
    if not path.is_file():
        other = "is a folder" if path.is_dir() else "is no regular file"
        what = other if path.exists() else "does not exist"
        raise ConfigError(f"'{path}' {what}; an ISMRMRD file in HDF5 format is needed.")
    try:
        with path.open("rb"):
            pass
        return h5py.File(path, "r")
    except PermissionError as error:
        raise ConfigError(f"'{path}' may not be read: {reason(error)}.") from error
    except BlockingIOError as error:
        raise BeingWritten(
            f"'{path}' is locked by another program that writes it. Try again when that has ended."
        ) from error
    except OSError as error:
        raise DataError(
            f"'{path}' is not a readable HDF5 file ({reason(error)}). An ISMRMRD file is needed."
        ) from error


def raw_groups(file: h5py.File) -> list[str]:
    """Return the names of all groups that hold raw data.

    A header without readouts is what is left of raw data, unless it is that of images.
    """
    return find_groups(
        file,
        lambda group: _is_raw(group.get("data")) or ("xml" in group and not _holds_images(group)),
    )


def image_groups(file: h5py.File) -> list[str]:
    """Return the names of all groups that hold series of images."""
    return find_groups(file, _holds_images)


def is_image_series(item: h5py.HLObject | None) -> bool:
    """Whether an item is a group with a series of images."""
    return isinstance(item, h5py.Group) and {"header", "data", "attributes"} <= set(item)


def readouts_of(group: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return the dataset of that name, if it holds readouts or waveforms."""
    found = group.get(name)
    return found if _is_raw(found) else None


def find_groups(top: h5py.Group, accepts: Callable[[h5py.Group], bool]) -> list[str]:
    """Return the names of those groups below another that are accepted."""
    found: list[str] = []

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Group) and accepts(item):
            found.append(name)

    top.visititems(visit)
    return found


def _holds_images(group: h5py.Group) -> bool:
    return any(map(is_image_series, group.values()))


def _is_raw(item: h5py.HLObject | None) -> bool:
    return isinstance(item, h5py.Dataset) and "head" in (item.dtype.names or ())

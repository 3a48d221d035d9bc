"""Load magnitude images for training: a folder of files to volumes of 2D slices."""

from __future__ import annotations

import logging
import stat
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError, reason
from gadget.files import walk
from gadget.training.dicom import group_series, read_series
from gadget.training.readers import read_hdf5, read_nifti, read_numpy
from gadget.training.skipped_files import SkippedFiles
from gadget.training.slices import MIN_EDGE, Slices, usable_slices

log = logging.getLogger(__name__)

Volume: TypeAlias = list[NDArray[np.float16]]
"""Magnitude slices `[y, x]` of a file or DICOM series, bright tissue near 1; sizes may differ."""
Reader: TypeAlias = Callable[[Path], Iterable[Slices]]

NIFTI = (".nii", ".nii.gz")
NUMPY, HDF5, DICOM = b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"DICM"
"""First bytes of files of these formats; DICOM after a preamble of 128 bytes."""


def load_volumes(folder: Path, excluded: Collection[Path] = ()) -> Iterator[Volume]:
    """Yield the images below `folder`, file by file, then DICOM series by series.

    Files that cannot be used are named in the log with the reason, and left out.

    Parameters
    ----------
    folder
        Folder with files of any kind. Links are followed.
    excluded
        Folders below it that are not read.

    Raises
    ------
    DataError
        Nothing is left.
    """
    skipped = SkippedFiles()
    count = 0
    files = find_files(folder, excluded)
    for volume in _usable_volumes(files, skipped):
        count += 1
        yield volume
    if skipped.count:
        log.warning("%d of %d files in %s are left out", skipped.count, len(files), folder)
    if not count:
        raise DataError(
            f"{folder} holds no usable magnitude image (NIfTI, DICOM, fastMRI or ISMRMRD images in "
            f"HDF5, .npy); expected at least one slice of {MIN_EDGE} x {MIN_EDGE} pixels that is "
            "not empty."
        )


def find_files(folder: Path, excluded: Collection[Path] = ()) -> list[Path]:
    """Return the files below `folder` and not below `excluded`, in the order of their names.

    A folder that links lead to twice, or round in a circle, counts once.
    """
    return sorted(
        place / name for place, _, names in walk(folder, _log_error, excluded) for name in names
    )


def _usable_volumes(files: Iterable[Path], skipped: SkippedFiles) -> Iterator[Volume]:
    dicom_files: list[Path] = []
    for path in files:
        try:
            reader = _reader(path)
            if reader is None:
                dicom_files.append(path)
            else:
                yield _read_volume(reader(path), path)
        except Exception as error:  # noqa: BLE001 - damaged files raise whatever they like
            skipped.add(path, error)
    for paths in group_series(dicom_files, skipped).values():
        all_skipped = skipped.count + len(paths)
        try:
            yield _read_volume(read_series(paths, skipped), paths[0])
        except Exception as error:  # noqa: BLE001
            if all_skipped > skipped.count:
                skipped.add(paths[0], error, all_skipped - skipped.count)


def _log_error(error: OSError) -> None:
    log.warning("The folder %s is left out: %s", error.filename, reason(error))


def _reader(path: Path) -> Reader | None:
    """Return the reader of a file, by its first bytes; None for DICOM, which is read by series."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError("it is no regular file")
    with path.open("rb") as file:
        head = file.read(132)
    if not head:
        raise DataError("it is empty")
    if head[128:] == DICOM:
        return None
    if head.startswith(NUMPY):
        return read_numpy
    if head.startswith(HDF5):
        return read_hdf5
    if path.name.lower().endswith(NIFTI):
        return read_nifti
    raise DataError("it is no image in a format that is read here (NIfTI, DICOM, HDF5, .npy)")


def _read_volume(parts: Iterable[Slices], path: Path) -> Volume:
    volume: Volume = []
    count = 0
    unusable = DataError("it holds no slice")
    with warnings.catch_warnings():
        # What matters of them is told in a line.
        warnings.simplefilter("ignore")
        for part in parts:
            count += len(part)
            try:
                volume += usable_slices(part)
            except DataError as error:
                unusable = error
    if not volume:
        raise unusable
    if len(volume) < count:
        log.info(
            "%s: %d of %d slices are left out: not finite, negative, small, uniform or mostly air",
            path,
            count - len(volume),
            count,
        )
    return volume

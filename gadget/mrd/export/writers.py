"""Base classes of the writers of PNG, NIfTI and DICOM."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.files import make_folder, write_errors
from gadget.mrd.export.stacks import Stack
from gadget.mrd.images.geometry import Geometry, axis_sign, geometry_of

log = logging.getLogger(__name__)

Self = TypeVar("Self", bound="FolderWriter")

DISCLAIMER = "research software, not for diagnostic use"
VOLUME_COUNTERS = ("average", "repetition", "set", "phase", "contrast")
"""Counters that number the volumes of a series; the last one varies fastest."""


class FolderWriter(ABC):
    """Writes images to files in a folder, a context manager.

    Parameters
    ----------
    folder
        Folder of the files; made if it is not there. Files of the same name are replaced.
    stem
        First part of the names of all files.

    Raises
    ------
    ConfigError
        The folder cannot be made.
    """

    def __init__(self, folder: Path, stem: str = "") -> None:
        self.folder = folder
        self._stem = f"{stem}_" if stem else ""
        make_folder(folder)

    @abstractmethod
    def write(self, image: ismrmrd.Image) -> None:
        """Take an image.

        Raises
        ------
        DataError
            The image cannot be written.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is left.

        Raises
        ------
        DataError
            Images cannot be written.
        """

    def name(self, series: int) -> str:
        """Return the common prefix of the file names of a series."""
        return f"{self._stem}series_{series}"

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except DataError as late:
            if error is None:
                raise
            log.error("%s", late)


@dataclass(frozen=True)
class ExportedImage:
    """An image with all that its file needs."""

    pixels: NDArray[Any]
    """`[coil, z, y, x]`"""
    header: ismrmrd.ImageHeader
    meta: Mapping[str, Any]
    geometry: Geometry


class SeriesWriter(FolderWriter):
    """Collects images and writes them series by series when it is closed.

    Parameters
    ----------
    folder, stem
        As for `FolderWriter`.
    header_xml
        XML header of the raw data, where there is one.

    Raises
    ------
    ConfigError
        The folder cannot be made.
    DataError
        The header is not one.
    """

    warns_of_positions = True
    """Whether it warns of unknown positions; one of several writers of the same images does."""

    def __init__(self, folder: Path, stem: str = "", header_xml: bytes | None = None) -> None:
        self._sign = axis_sign(header_xml)
        super().__init__(folder, stem)
        self._series: dict[int, list[ExportedImage]] = {}

    def write(self, image: ismrmrd.Image) -> None:
        """Keep an image until the writer is closed.

        Raises
        ------
        DataError
            The directions in its header make no sense.
        """
        header = image.getHead()
        geometry = geometry_of(header, image.meta, self._sign)
        found = ExportedImage(image.data, header, image.meta, geometry)
        self._series.setdefault(int(header.image_series_index), []).append(found)

    def close(self) -> None:
        """Write all series.

        Raises
        ------
        DataError
            Images cannot be written.
        """
        series, self._series = self._series, {}
        for number, images in series.items():
            if self.warns_of_positions and not all(image.geometry.located for image in images):
                log.warning(
                    "Series %d does not tell how it lies in the patient (read_dir, phase_dir, "
                    "field_of_view or position are missing): its place in the files is made up.",
                    number,
                )
            self._write_series(number, images)

    @abstractmethod
    def _write_series(self, series: int, images: list[ExportedImage]) -> None: ...


def remove_stale(written: Collection[Path], *patterns: str) -> None:
    """Remove other files of these patterns from the folder of those that were written.

    What is left of an earlier, longer series, perhaps of another patient, must not pass for ours.

    Raises
    ------
    DataError
        They cannot be removed.
    """
    for folder in {path.parent for path in written}:
        with write_errors(folder, DataError):
            for pattern in patterns:
                for old in set(folder.glob(pattern)) - set(written):
                    old.unlink()


def volume_numbers(images: Sequence[ExportedImage], stack: Stack) -> dict[int, int]:
    """Return the volume number of each image of a stack."""
    keys: dict[int, tuple[int, ...]] = {}
    for place in stack.members:
        seen: Counter[tuple[int, ...]] = Counter()
        for number in place:
            header = images[number].header
            counters = tuple(int(getattr(header, name)) for name in VOLUME_COUNTERS)
            # Images that their counters do not tell apart are volumes in the order they came.
            keys[number] = (*counters, seen[counters])
            seen[counters] += 1
    order = {key: volume for volume, key in enumerate(sorted(set(keys.values())))}
    return {number: order[key] for number, key in keys.items()}


def combine_coils(pixels: NDArray[Any]) -> NDArray[Any]:
    """Combine coils: return a real image `[z, y, x]` of pixels `[coil, z, y, x]`.

    Complex pixels become magnitudes, several coils their root sum of squares.
    """
    if np.iscomplexobj(pixels):
        pixels = np.abs(pixels)
    if len(pixels) > 1:
        return np.sqrt((pixels.astype(np.float32) ** 2).sum(axis=0))
    return pixels[0]

"""Export of images to PNG, NIfTI and DICOM."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from gadget.errors import DataError
from gadget.text import encodable

if TYPE_CHECKING:
    import ismrmrd

    from gadget.mrd.export.writers import FolderWriter


Format: TypeAlias = Literal["png", "nifti", "dicom"]


@dataclass(frozen=True)
class Export:
    """A format and the folder for its files."""

    format: Format
    folder: Path

    def __str__(self) -> str:
        # The same folder, from wherever it is named.
        return encodable(f"{self.format} {os.path.normpath(self.folder)}")


@contextmanager
def open_writers(
    exports: Iterable[Export], header_xml: bytes | None = None, stem: str = ""
) -> Iterator[list[FolderWriter]]:
    """Open a writer for each export; all files are complete at the end of the block.

    Parameters
    ----------
    exports
        Formats and folders; the folders are made.
    header_xml
        Header of the raw data.
    stem
        First part of the files' names. It may begin with folders.

    Raises
    ------
    ConfigError
        A folder cannot be made, or the package for a format is missing.
    DataError
        At the end: images cannot be written in a format.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(_open(export, header_xml, Path(stem))) for export in exports]
        _let_one_warn(writers)
        yield writers


def write_images(
    images: Iterable[ismrmrd.Image], writers: Sequence[FolderWriter]
) -> list[DataError]:
    """Give images to all writers; return the errors: each costs one image in one format alone."""
    problems = []
    for image in images:
        for writer in writers:
            try:
                writer.write(image)
            except DataError as error:
                problems.append(error)
    return problems


def has_files(export: Export, stem: str) -> bool:
    """Whether there is a file of this stem in the folder of an export."""
    place = export.folder / stem
    return any(place.parent.glob(f"{glob.escape(place.name)}_series_*"))


def _let_one_warn(writers: Sequence[FolderWriter]) -> None:
    from gadget.mrd.export.writers import SeriesWriter

    for writer in [one for one in writers if isinstance(one, SeriesWriter)][1:]:
        writer.warns_of_positions = False


def _open(export: Export, header_xml: bytes | None, stem: Path) -> FolderWriter:
    folder = export.folder / stem.parent
    if export.format == "png":
        from gadget.mrd.export.png import PngWriter

        return PngWriter(folder, stem.name)
    if export.format == "nifti":
        from gadget.mrd.export.nifti import NiftiWriter

        return NiftiWriter(folder, stem.name, header_xml)
    from gadget.mrd.export.dicom import DicomWriter

    return DicomWriter(folder, stem.name, header_xml)

"""`score-gadget convert`: images from ISMRMRD to NIfTI, DICOM and PNG."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gadget.cli.console import print_result
from gadget.errors import ConfigError, DataError
from gadget.text import pluralize

log = logging.getLogger(__name__)


def convert(
    file: Annotated[Path, typer.Argument(help="HDF5 file of reconstructed images.")],
    group: Annotated[
        str | None, typer.Option("--group", "-g", help="Group of the images; default: all groups.")
    ] = None,
    nifti: Annotated[Path | None, typer.Option(help="Folder for NIfTI files.")] = None,
    dicom: Annotated[Path | None, typer.Option(help="Folder for DICOM files.")] = None,
    png: Annotated[Path | None, typer.Option(help="Folder for PNG files.")] = None,
    raw: Annotated[
        Path | None,
        typer.Option(
            help="Raw data of the scan: their header tells of patient, scanner, sequence."
        ),
    ] = None,
) -> None:
    """Convert images, ours or those that a Gadgetron server's client has stored.

    Without raw data the header beside the images counts, `xml` in a group of the file; those of
    `replay` have one. Without any, DICOM files are anonymous. Images of several groups become files
    of their own, whose names begin with the group's.

    Example: score-gadget convert out.h5 --raw raw.h5 --nifti volumes --dicom archive
    """
    from gadget.cohort.exports import Export, Format, open_writers, write_images
    from gadget.mrd.images.reader import read_groups

    formats: dict[Format, Path | None] = {"nifti": nifti, "dicom": dicom, "png": png}
    exports = [Export(name, folder) for name, folder in formats.items() if folder is not None]
    if not exports:
        raise ConfigError("Say what to convert the images to: --nifti, --dicom or --png FOLDER.")
    groups = read_groups(file, group)
    stems = _stems(list(groups))
    others = group is None
    header = _header(file, list(groups), others=others) if raw is None else _header_of_raw(raw)
    if header is None and (nifti is not None or dicom is not None):
        log.warning(
            "There is no header beside the images: patient and scanner are unknown. Give the raw "
            "data with --raw; those of a Siemens scanner lie the other way round without it."
        )
    problems: list[DataError] = []
    for name, images in groups.items():
        with open_writers(exports, header, stems[name]) as writers:
            problems += write_images(images, writers)
    if problems:
        raise problems[0]
    count = pluralize(sum(map(len, groups.values())), "image")
    print_result(f"{count}: {', '.join(str(export.folder) for export in exports)}")


def _stems(groups: Sequence[str]) -> dict[str, str]:
    """Return what the names of each group's files begin with.

    Raises
    ------
    ConfigError
        Those of two groups would be the same.
    """
    if len(groups) == 1:
        return {groups[0]: ""}
    # Two reconstructions, even of one scan, are not one series.
    named: dict[str, str] = {}
    for group in groups:
        other = named.setdefault(group.replace("/", "_"), group)
        if other != group:
            raise ConfigError(
                f"The images of '{other}' and '{group}' would have the same file names; convert "
                "each with --group to folders of its own."
            )
    return {group: stem for stem, group in named.items()}


def _header_of_raw(path: Path) -> bytes:
    from gadget.mrd.raw.raw_file import RawFile

    with RawFile(path) as raw:
        return raw.header_xml


def _header(path: Path, beside: Sequence[str], *, others: bool) -> bytes | None:
    """Return the XML header in the groups of images, or else, where `others` count, in any.

    Raises
    ------
    ConfigError
        Groups of images have different ones.
    """
    from gadget.mrd.hdf5 import open_hdf5
    from gadget.mrd.raw.raw_source import read_text

    with open_hdf5(path) as file:
        groups = (*beside, *file) if others else beside
        found = {name: read_text(file.get(f"{name}/xml")) for name in groups}
    if len({found[name] for name in beside} - {b""}) > 1:
        names = ", ".join(f"'{name}'" for name in beside)
        raise ConfigError(
            f"'{path}' has images of several scans, in {names}; choose one of them with --group."
        )
    return next(filter(None, found.values()), None)

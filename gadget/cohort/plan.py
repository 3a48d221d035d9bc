"""Which files of a cohort are to be reconstructed, and which are finished."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import h5py

from gadget.cohort.exports import has_files
from gadget.cohort.recipe import Recipe
from gadget.cohort.record import Record, fingerprint_of, read_record, source_of
from gadget.cohort.task import Task
from gadget.errors import ConfigError, DataError
from gadget.files import raise_unreadable, walk
from gadget.mrd.hdf5 import open_hdf5
from gadget.mrd.raw.raw_file import RAW_SUFFIXES


@dataclass(frozen=True)
class Plan:
    """The tasks of a cohort, and the number of finished files."""

    tasks: list[Task]
    """Files to be reconstructed or exported."""
    finished: int
    """Number of files whose outputs are up to date."""
    outdated: int
    """Number of outputs made from other data or with another recipe; they are among the tasks."""


def make_plan(arguments: Sequence[Path], folder: Path, recipe: Recipe) -> Plan:
    """Find the raw data of a cohort, and decide which of them are to be reconstructed.

    Parameters
    ----------
    arguments
        Files of raw data, and folders, which are searched with all that is below them.
    folder
        Folder for the images. Those of a file are in `<stem>.h5`, those of a file that was found
        in a folder are in the same subfolder as there. Where a folder has several files of that
        stem, they are in `<name>.h5`.
    recipe
        How the files are reconstructed.

    Raises
    ------
    ConfigError
        A file does not exist, a folder cannot be read or is that of the images, there are no raw
        data, two files have the same output, raw data would be overwritten, or a model is missing.
    """
    folder = _absolute(folder)
    fingerprint = fingerprint_of(recipe)
    exports = frozenset(map(str, recipe.exports))
    tasks: list[Task] = []
    finished = outdated = 0
    for name, raw in _output_names(_find(arguments, folder), folder).items():
        output = folder / f"{name}.h5"
        _protect_raw_data(output, recipe.out_group)
        wanted = Record(source=source_of(raw), recipe=fingerprint, exports=exports)
        found = read_record(output, recipe.out_group)
        if found is None or not found.matches(wanted):
            outdated += found is not None
            tasks.append(Task(name, raw, output, wanted))
        elif not _has_all_exports(found, name, recipe):
            wanted = found.model_copy(update={"exports": found.exports | exports})
            tasks.append(Task(name, raw, output, wanted, reconstruct=False))
        else:
            finished += 1
    return Plan(tasks, finished, outdated)


def _has_all_exports(found: Record, name: str, recipe: Recipe) -> bool:
    return all(
        str(export) in found.exports and has_files(export, name) for export in recipe.exports
    )


def _find(arguments: Sequence[Path], folder: Path) -> dict[Path, PurePath]:
    """Return all files of raw data, each with its name below the folder of the outputs."""
    found: dict[Path, PurePath] = {}
    for argument in map(_absolute, arguments):
        if argument.is_dir():
            if os.path.realpath(argument) == os.path.realpath(folder):
                raise ConfigError(
                    f"'{folder}' is the folder of the raw data; choose another one for the images: "
                    "the next run would take them for raw data."
                )
            below = sorted(_walk(argument, folder))
            if not below:
                raise ConfigError(
                    f"'{argument}' holds no file that ends in {', '.join(RAW_SUFFIXES)}: expected "
                    "raw data."
                )
            for raw in below:
                found.setdefault(raw, raw.relative_to(argument))
        elif argument.exists():
            found.setdefault(argument, PurePath(argument.name))
        else:
            raise ConfigError(f"'{argument}' does not exist; expected raw data, HDF5.")
    return found


def _walk(top: Path, outputs: Path) -> Iterator[Path]:
    for here, folders, files in walk(top, raise_unreadable, excluded=[outputs]):
        folders[:] = [name for name in folders if name[0] != "."]
        for name in files:
            if name[0] != "." and name.lower().endswith(RAW_SUFFIXES):
                yield here / name


def _output_names(found: dict[Path, PurePath], folder: Path) -> dict[str, Path]:
    """Return the files of raw data by the names of their outputs, without suffix."""
    named: dict[str, Path] = {}
    originals = {os.path.realpath(raw) for raw in found}
    alike = Counter(raw.with_suffix("") for raw in found)
    for raw, relative in found.items():
        # Files of one folder that only their suffixes tell apart keep them.
        alone = alike[raw.with_suffix("")] == 1
        name = str(relative.with_suffix("") if alone else relative)
        output = folder / f"{name}.h5"
        if name in named:
            raise ConfigError(
                f"'{named[name]}' and '{raw}' have the same output, '{output}'. Rename one of "
                "them, or give the folder above both: what is in its subfolders stays apart."
            )
        if os.path.realpath(output) in originals:
            raise ConfigError(
                f"'{output}' is raw data itself; choose another folder for the images."
            )
        named[name] = raw
    return named


def _protect_raw_data(output: Path, group: str) -> None:
    if not output.is_file():
        return
    try:
        with open_hdf5(output) as file:
            raw = isinstance(file.get(f"{group}/data"), h5py.Dataset)
    except DataError:
        return
    if raw:
        raise ConfigError(f"'{output}' holds raw data; choose another folder for the images.")


def _absolute(path: Path) -> Path:
    """Return a path that is valid in every process."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow links

"""Atomic writes, output folders, and what is in a folder."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from gadget.errors import ConfigError, DataError, ReconError, reason


def temporary_path(path: Path) -> Path:
    """Return a hidden path beside `path`, of this process, to write to before renaming."""
    # The end of the name stays: libraries choose the format by it.
    return path.with_name(f".{os.getpid()}.{path.name}")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which is renamed to it at the end.

    After an error `path` is unchanged.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    part = temporary_path(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_sums(path: Path) -> None:
    """Compare the parts of a zip archive, such as torch writes, with their checksums.

    Raises
    ------
    DataError
        A part is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise DataError(f"the checksum of its part {damaged} is wrong")


def walk(
    top: Path, onerror: Callable[[OSError], None], excluded: Collection[Path] = ()
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder below `top` with the names of its folders, to be pruned, and of its files.

    Links are followed; a folder that they lead to twice, or round in a circle, counts once.

    Parameters
    ----------
    top
        Where to begin.
    onerror
        Called for a folder that cannot be read.
    excluded
        Folders that are passed over.
    """
    seen = {os.path.realpath(path) for path in excluded}
    for folder, folders, names in os.walk(top, onerror=onerror, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield Path(folder), folders, names


def raise_unreadable(error: OSError) -> NoReturn:
    """Raise the sentence that a folder cannot be read: what is in it would not be missed.

    Raises
    ------
    ConfigError
        Always.
    """
    raise ConfigError(
        f"The folder '{error.filename}' cannot be read: {reason(error)}. Make it readable, or give "
        "the folders beside it."
    ) from error


@contextmanager
def write_errors(path: Path, error_type: type[ReconError]) -> Iterator[None]:
    """Turn an `OSError` in the block into the sentence that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise error_type(f"'{path}' cannot be written: {reason(error)}.") from error


@contextmanager
def safe_write(path: Path, error_type: type[ReconError]) -> Iterator[Path]:
    """As `atomic_write`, with an `OSError` as the sentence that `path` cannot be written.

    Devices and pipes are not replaced either.
    """
    with write_errors(path, error_type):
        if path.exists() and not path.is_file():
            raise error_type(
                f"'{path}' cannot be written: it is no regular file. Choose another name."
            )
        with atomic_write(path) as part:
            yield part


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises
    ------
    ConfigError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder '{folder}' cannot be made: {reason(error)}.") from error

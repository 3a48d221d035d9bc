"""Atomic writes, and output folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gadget.errors import ConfigError, ReconError, reason


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


@contextmanager
def write_errors(path: Path, error_type: type[ReconError]) -> Iterator[None]:
    """Turn an `OSError` in the block into the sentence that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise error_type(f"'{path}' cannot be written: {reason(error)}.") from error


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
        raise ConfigError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error

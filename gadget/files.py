"""Atomic writes, and output folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gadget.errors import ConfigError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which is renamed to it at the end.

    After an error `path` is unchanged.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    # The end of the name stays: libraries choose the format by it.
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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

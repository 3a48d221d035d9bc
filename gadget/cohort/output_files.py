"""Output files: written in a hidden folder, moved into place when complete."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gadget.errors import ConfigError, DataError, reason
from gadget.files import write_errors

SUFFIX = ".partial"


@contextmanager
def working_folder(output: Path) -> Iterator[Path]:
    """Make a temporary folder on the file system of an output.

    Raises
    ------
    DataError
        It cannot be made.
    """
    with write_errors(output, DataError):
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(
            prefix=f".{output.name}.", suffix=SUFFIX, dir=output.parent, ignore_cleanup_errors=True
        )
    with folder as path:
        yield Path(path)


def move_into_place(file: Path, output: Path) -> None:
    """Move a complete file to its final place, atomically and flushed to disk.

    Raises
    ------
    DataError
        The disk is full, or another error of the file system.
    """
    with write_errors(output, DataError):
        with file.open("rb") as content:
            # Without it a file can be there and yet be empty after a loss of power.
            os.fsync(content.fileno())
        file.replace(output)


@contextmanager
def locked_folder(folder: Path, outputs: Iterable[Path]) -> Iterator[None]:
    """Lock a folder of outputs for one run, and remove what killed runs left there.

    Parameters
    ----------
    folder
        Folder of the outputs; made if it is not there.
    outputs
        The outputs, in `folder` or below.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to, or another run is at work in it.
    """
    places = {output.parent for output in outputs}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ConfigError(
            f"The folder '{folder}' cannot be written to: {reason(error)}. Choose another one."
        ) from error
    with ExitStack() as stack:
        stack.callback(os.close, handle)
        _lock(handle, folder)
        stack.callback(_remove_stale_folders, places)
        _remove_stale_folders(places)
        yield


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Network file systems may know no locks of folders: two runs then do the same work twice,
        # and spoil nothing.
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
            raise ConfigError(
                f"Another run is writing to '{folder}'. Wait for its end, or choose another folder."
            ) from None


def _remove_stale_folders(places: Iterable[Path]) -> None:
    for place in places:
        for left in place.glob(f".*.h5.*{SUFFIX}"):
            shutil.rmtree(left, ignore_errors=True)

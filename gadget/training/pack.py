"""Training images packed to one memory-mapped file.

A cohort may be larger than the memory, and a resumed training starts at once.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Collection
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from gadget.errors import ConfigError, reason
from gadget.training.images import Volume, find_files, load_volumes

log = logging.getLogger(__name__)

PIXEL = np.dtype(np.float16)


class PackIndex(BaseModel):
    """Index of a pack, a JSON file beside it."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    source: str
    """Checksum of the names, sizes and times of the files that were packed."""
    volumes: list[list[tuple[int, int]]]
    """Sizes `(y, x)` of the slices of each volume, in the order of the file."""

    @property
    def bytes(self) -> int:
        """Size of the pack."""
        return PIXEL.itemsize * sum(math.prod(size) for sizes in self.volumes for size in sizes)


def packed_volumes(folder: Path, pack: Path, excluded: Collection[Path] = ()) -> list[Volume]:
    """Return the images below `folder` from the file `pack`, which is created if necessary.

    The folder is read again only if its files have changed.

    Raises
    ------
    DataError
        The folder holds no usable image.
    ConfigError
        The pack cannot be written.
    """
    source = _checksum(folder, excluded)
    index = _read_index(pack)
    if index is not None and index.source != source:
        log.warning(
            "The files of %s have changed (names, sizes or times) since they were packed to %s; "
            "they are read again, and what goes on is trained with them from here.",
            folder,
            pack,
        )
    if index is None or index.source != source:
        index = _write(folder, pack, excluded, source)
    else:
        log.info("The images of %s come from %s, packed before.", folder, pack)
    return _mapped(pack, index)


def _write(folder: Path, pack: Path, excluded: Collection[Path], source: str) -> PackIndex:
    index = PackIndex(source=source, volumes=[])
    partial = pack.with_suffix(".partial")
    try:
        # Without its index, a pack that is being replaced is none.
        _index_path(pack).unlink(missing_ok=True)
        with partial.open("wb") as file:
            for volume in load_volumes(folder, excluded):
                file.writelines(np.ascontiguousarray(image).data for image in volume)
                index.volumes.append([(image.shape[0], image.shape[1]) for image in volume])
        partial.replace(pack)
        partial.write_text(index.model_dump_json())
        partial.replace(_index_path(pack))
    except OSError as error:
        raise ConfigError(
            f"The images cannot be packed to {pack}: {reason(error)}; choose an output folder "
            "with room for them (2 bytes a pixel)."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return index


def _read_index(pack: Path) -> PackIndex | None:
    try:
        index = PackIndex.model_validate_json(_index_path(pack).read_bytes())
        return index if pack.stat().st_size == index.bytes else None
    except (OSError, ValidationError):
        return None


def _mapped(pack: Path, index: PackIndex) -> list[Volume]:
    pixels = np.asarray(np.memmap(pack, PIXEL, "r"))
    volumes: list[Volume] = []
    start = 0
    for sizes in index.volumes:
        volumes.append([])
        for size in sizes:
            end = start + math.prod(size)
            volumes[-1].append(pixels[start:end].reshape(size))
            start = end
    return volumes


def _checksum(folder: Path, excluded: Collection[Path]) -> str:
    checksum = hashlib.sha256()
    for path in find_files(folder, excluded):
        about = path.stat() if path.exists() else path.lstat()
        checksum.update(b"%s %d %d\n" % (os.fsencode(path), about.st_size, about.st_mtime_ns))
    return checksum.hexdigest()


def _index_path(pack: Path) -> Path:
    return pack.with_suffix(".json")

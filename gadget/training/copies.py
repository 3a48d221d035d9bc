"""Copies of training images among those to validate on, which tell nothing about other people."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import TypeAlias

from gadget.training.images import Volume

log = logging.getLogger(__name__)

Fingerprint: TypeAlias = tuple[tuple[tuple[int, ...], ...], bytes]


def warn_of_copies(held_out: Sequence[Volume], volumes: Sequence[Volume]) -> None:
    """Warn of volumes to validate on that are also among those to train on, pixel by pixel."""
    trained = {_fingerprint(volume) for volume in volumes}
    copies = sum(_fingerprint(volume) in trained for volume in held_out)
    if copies:
        log.warning(
            "Of the %d volumes to validate on, %d are trained on, too, pixel by pixel: the "
            "validation loss says less about other people. Validate with others.",
            len(held_out),
            copies,
        )


def _fingerprint(volume: Volume) -> Fingerprint:
    """Return the sizes of the slices and a checksum of the middle one.

    One slice is enough, and all of them would be a whole pack to read: each volume has a scale of
    its own, so that slices of two volumes hardly agree unless the volumes do.
    """
    middle = volume[len(volume) // 2]
    sizes = tuple(image.shape for image in volume)
    return sizes, hashlib.sha256(middle.tobytes()).digest()

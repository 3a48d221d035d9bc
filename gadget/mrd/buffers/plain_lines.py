"""Image lines that differ from others before them in their place and samples alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import ismrmrd

from gadget.errors import DataError
from gadget.mrd.buffers.image_accumulator import ImageAccumulator
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import header_kind
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.readouts.placement import line_position, readout_extent
from gadget.mrd.readouts.samples import is_finite
from gadget.mrd.xml_header.header import Encoding

NEED_MORE = flags.ANY_CALIBRATION | flags.REVERSE | flags.LAST_IN_BUFFER
"""Flags of image lines of which each is looked at on its own."""


class PlainLines:
    """Adds lines to images by what was found out with a line like them.

    Nearly all readouts of a scan are plain, and to find out what they are is most of the work.

    Parameters
    ----------
    images
        The incomplete images; one that is taken out gets no more lines.
    """

    def __init__(self, images: Mapping[ImageKey, ImageAccumulator]) -> None:
        self._images = images
        self._kinds: dict[bytes, _Kind] = {}

    def learn(self, header: ismrmrd.AcquisitionHeader, key: ImageKey) -> None:
        """Note the header of a readout, if it was added to its image as it is and is plain."""
        image = self._images[key]
        width = image.grid.encoding.encoded.matrix[0]
        if header.flags & NEED_MORE or image.grid.width != width or image.latest is not header:
            return
        count, before, after, center = readout_extent(header)
        valid = slice(before, count - after)
        self._kinds[header_kind(header)] = _Kind(key, image, valid, before - center)

    def add(self, lines: ReadoutBlock) -> int:
        """Add lines to their image, and return how many were added before one that is not plain.

        None is where no line like them has been noted; nor is one outside, or with damaged samples.
        """
        kind = self._kinds.get(header_kind(lines.headers[0]))
        if kind is None or self._images.get(kind.key) is not kind.image:
            return 0
        added = 0
        for header, samples in zip(lines.headers, lines.samples, strict=True):
            position = _position(kind.image.grid.encoding, header)
            if position is None or not is_finite(samples):
                break
            kind.image.grid.add(position, samples[:, kind.valid], kind.offset, header)
            added += 1
        kind.image.image_lines += added
        if added:
            kind.image.flagged = False
        return added

    def forget(self, image: ImageAccumulator) -> None:
        """Forget the lines of an image that is complete."""
        self._kinds = {
            header: kind for header, kind in self._kinds.items() if kind.image is not image
        }


def _position(encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> tuple[int, int] | None:
    """Return where a line lies, (kz, ky), or None if it has no place on the grid."""
    try:
        return line_position(encoding, header)
    except DataError:
        return None


class _Kind(NamedTuple):
    """What lines with the same header, but for their place, have in common."""

    key: ImageKey
    image: ImageAccumulator
    valid: slice
    """Which samples are not to be discarded."""
    offset: int
    """Index of the first of them relative to the centre of k-space."""

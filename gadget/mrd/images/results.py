"""ISMRMRD images of reconstructions, with metadata and numbering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.buffers.buffer import Buffer
from gadget.mrd.images.make_image import make_image
from gadget.mrd.images.meta import STD_ROLE, MetaValue, image_meta
from gadget.mrd.images.pixels import STD_SERIES_OFFSET
from gadget.mrd.xml_header.header import Header, Space
from gadget.mri.resample import to_recon_space

if TYPE_CHECKING:
    from gadget.diffusion.reconstruction import Reconstruction

FALLBACK = "FALLBACK"
"""Marks images of a simpler method than was asked for, in comment and history."""


class ImageMaker:
    """Make the images of one scan, numbered in the order of their buffers.

    Parameters
    ----------
    header
        Header of the measurement.
    series
        Number of the image series of the first encoding space, whose standard deviation goes to
        ``series + 100``. A further encoding space has its number added to both: images of one
        series have one size.
    """

    def __init__(self, header: Header, series: int) -> None:
        self._header = header
        self._series = series
        self._numbers: Counter[int] = Counter()

    def images(self, buffer: Buffer, result: Reconstruction) -> Iterator[ismrmrd.Image]:
        """Yield the complex image and, if there is one, its standard deviation."""
        series = self._series + int(buffer.reference.encoding_space_ref)
        meta = self._meta(buffer, result, "Image", "score")
        yield self._image(buffer, result.image, series, meta)
        if result.std is not None:
            std = result.std.astype(np.complex64)
            meta = self._meta(buffer, result, STD_ROLE, "score_std", "posterior standard deviation")
            yield self._image(buffer, std, series + STD_SERIES_OFFSET, meta)

    def _meta(
        self, buffer: Buffer, result: Reconstruction, role: str, description: str, *comments: str
    ) -> dict[str, MetaValue]:
        fallback = [] if result.fallback is None else [f"{FALLBACK}, {result.fallback}"]
        return image_meta(
            self._header,
            buffer.reference,
            role=role,
            comments=[result.method, *fallback, *comments],
            history=[FALLBACK] if fallback else [],
            description=description,
            details={"method": result.method, **result.details, "fallback": result.fallback},
        )

    def _image(
        self,
        buffer: Buffer,
        pixels: NDArray[np.complex64],
        series: int,
        meta: Mapping[str, MetaValue],
    ) -> ismrmrd.Image:
        partitions = pixels.shape[0]
        recon = image_space(buffer.encoding.recon, partitions)
        x, y, z = buffer.field_of_view
        # A single plane is neither cropped nor resampled along z.
        field_of_view = (x, y, z if partitions > 1 else recon.field_of_view_mm[2])
        pixels = to_recon_space(pixels, field_of_view, recon.field_of_view_mm, recon.matrix)
        self._numbers[series] += 1
        return make_image(
            np.ascontiguousarray(pixels, np.complex64),
            buffer.reference,
            recon,
            image_index=self._numbers[series] % 2**16,
            series_index=series,
            image_type=ismrmrd.IMTYPE_COMPLEX,
            meta=meta,
        )


def image_space(recon: Space, partitions: int) -> Space:
    """Return the space that the images of a scan with that many partitions fill.

    A slice of a 2D scan is one plane, although some headers describe the whole stack along z.
    """
    if partitions > 1:
        return recon
    thickness = recon.field_of_view_mm[2] / recon.matrix[2]
    return Space((*recon.matrix[:2], 1), (*recon.field_of_view_mm[:2], thickness))

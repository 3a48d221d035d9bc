"""Reconstructions to ISMRMRD images: what was computed, joined with where it belongs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.buffer import Buffer
from gadget.mrd.header import Header, Space
from gadget.mrd.images import PIXEL_TYPES, make_image
from gadget.mrd.meta import MetaValue, display_window, image_meta, to_meta
from gadget.mrd.pixels import SERIES_OFFSET, STD_SERIES_OFFSET, PixelConverter
from gadget.mri.resample import to_recon_space

if TYPE_CHECKING:
    from gadget.diffusion.reconstruct import Reconstruction

STD_ROLE = "STD_MAP"
FALLBACK = "FALLBACK"
"""Marks, in comment and history, an image that a simpler method made than was asked for."""


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
        # A single plane is neither cut nor stretched along z.
        covered = (x, y, z if partitions > 1 else recon.field_of_view_mm[2])
        pixels = to_recon_space(pixels, covered, recon.field_of_view_mm, recon.matrix)
        self._numbers[series] += 1
        return make_image(
            np.ascontiguousarray(pixels, np.complex64),
            buffer.reference,
            recon,
            image_index=self._numbers[series],
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


def finished(image: ismrmrd.Image, converter: PixelConverter) -> ismrmrd.Image:
    """Convert the pixels of a complex image; header and metadata stay, as far as they still hold.

    Images of other types than complex are passed on as they are. A standard deviation becomes a
    magnitude, whatever else is asked for: it has no phase.
    """
    if image.data.dtype != np.complex64:
        return image
    series = int(image.image_series_index)
    is_std = image.meta.get("DataRole") == STD_ROLE
    if is_std and converter.output in ("phase", "complex"):
        converter = PixelConverter("magnitude")
    pixels = converter.convert(image.data, series)
    meta: dict[str, Any] = {**image.meta, **pixels.meta}
    window = None
    if pixels.image_type == ismrmrd.IMTYPE_MAGNITUDE:
        window = display_window(pixels.array)  # type: ignore[arg-type]
    if window is not None:
        for prefix in ("", "GADGETRON_"):
            meta[f"{prefix}WindowCenter"], meta[f"{prefix}WindowWidth"] = window
    if pixels.image_type == ismrmrd.IMTYPE_PHASE:
        meta["DataRole"] = meta["GADGETRON_DataRole"] = "Phase"
    header = image.getHead()
    header.data_type = PIXEL_TYPES[pixels.array.dtype]
    header.image_type = pixels.image_type
    header.image_series_index = series + (0 if is_std else SERIES_OFFSET[converter.output])
    result = ismrmrd.Image(header)
    result.data[:] = pixels.array
    result.meta = to_meta(meta)
    return result

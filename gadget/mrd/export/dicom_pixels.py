"""DICOM pixels: unsigned 16-bit integers with rescale and window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.export.dicom_attributes import Attributes
from gadget.mrd.export.writers import ExportedImage, combine_coils
from gadget.mrd.images.scales import MAXIMUM, Scale, number_from_meta, scale_from_meta


def series_scale(images: Sequence[ExportedImage]) -> Scale:
    """Return the finest scale that fits all images of a series."""
    if all(image.pixels.dtype == np.uint16 for image in images):
        return Scale()
    extents = [_extent(combine_coils(image.pixels)) for image in images]
    low, high = min(one[0] for one in extents), max(one[1] for one in extents)
    integers = all(np.issubdtype(image.pixels.dtype, np.integer) for image in images)
    if high == low or (integers and high - low <= MAXIMUM):
        return Scale(1.0, low)
    return Scale((high - low) / MAXIMUM, low)


def pixel_attributes(image: ExportedImage, z: int, scale: Scale) -> Attributes:
    """Return pixels, scale and window of a plane of an image."""
    pixels = scale.stored(combine_coils(image.pixels[:, z : z + 1])[0])
    # Where integers are stored unchanged, their scale is in the metadata.
    scale = scale_from_meta(image.pixels, image.meta) or scale
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleSlope": scale.slope,
        "RescaleIntercept": scale.intercept,
        "RescaleType": "US",
        "PixelData": pixels.tobytes(),
        **_window(image, scale),
    }


def _extent(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest finite pixel, or 0 where that is lower or higher."""
    finite = pixels[np.isfinite(pixels)]
    return float(finite.min(initial=0)), float(finite.max(initial=0))


def _window(image: ExportedImage, scale: Scale) -> Attributes:
    """Return the window of the metadata, in units of the rescaled pixels."""
    center, width = (number_from_meta(image.meta, name) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or image.header.image_type == ismrmrd.IMTYPE_PHASE:
        return {}
    if image.pixels.dtype == np.uint16:
        center, width = center * scale.slope + scale.intercept, width * scale.slope
    # DICOM's linear window is at least 1 wide.
    return {"WindowCenter": center, "WindowWidth": width} if width >= 1 else {}

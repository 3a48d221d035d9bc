"""Pixels as DICOM stores them: whole numbers of 16 bits with a scale and a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.export.dicom_attributes import Attributes
from gadget.mrd.export.scales import MAXIMUM, Scale, told, told_scale
from gadget.mrd.export.writers import Exported, combined


def series_scale(images: Sequence[Exported]) -> Scale:
    """Return the scale for all images of a series that loses least."""
    if all(image.pixels.dtype == np.uint16 for image in images):
        return Scale()
    extents = [_extent(combined(image.pixels)) for image in images]
    low, high = min(one[0] for one in extents), max(one[1] for one in extents)
    whole = all(np.issubdtype(image.pixels.dtype, np.integer) for image in images)
    if high == low or (whole and high - low <= MAXIMUM):
        return Scale(1.0, low)
    return Scale((high - low) / MAXIMUM, low)


def pixel_attributes(image: Exported, z: int, scale: Scale) -> Attributes:
    """Return pixels, scale and window of a plane of an image."""
    pixels = scale.stored(combined(image.pixels[:, z : z + 1])[0])
    # Where whole numbers are stored as they are, their metadata say what they stand for.
    scale = told_scale(image.pixels, image.meta) or scale
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


def _window(image: Exported, scale: Scale) -> Attributes:
    """Return the window of the metadata, in the units that the rescaled pixels have."""
    center, width = (told(image.meta, name) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or image.header.image_type == ismrmrd.IMTYPE_PHASE:
        return {}
    if image.pixels.dtype == np.uint16:
        center, width = center * scale.slope + scale.intercept, width * scale.slope
    # DICOM's linear window is at least 1 wide.
    return {"WindowCenter": center, "WindowWidth": width} if width >= 1 else {}

"""Pixels as DICOM stores them: whole numbers of 16 bits with a scale and a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.export.dicom_attributes import Attributes, values
from gadget.mrd.export.dicom_values import number
from gadget.mrd.export.writers import Exported, combined

MAXIMUM = 65535


@dataclass(frozen=True)
class Scale:
    """How pixels [units of the image] become uint16: pixel = slope * stored + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def stored(self, pixels: NDArray[Any]) -> NDArray[np.uint16]:
        """Return what the file holds of the pixels; such as are not finite become the lowest."""
        steps = np.rint((pixels.astype(np.float64) - self.intercept) / self.slope)
        return np.nan_to_num(np.clip(steps, 0, MAXIMUM), nan=0).astype("<u2")


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
    pixels = scale.stored(combined(image.pixels)[z])
    slope, intercept = (_told(image.meta, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if image.pixels.dtype == np.uint16 and slope:
        # The series is whole numbers already, and its metadata say what they stand for.
        scale = Scale(slope, intercept or 0.0)
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
    center, width = (_told(image.meta, name) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or image.header.image_type == ismrmrd.IMTYPE_PHASE:
        return {}
    if image.pixels.dtype == np.uint16:
        center, width = center * scale.slope + scale.intercept, width * scale.slope
    # DICOM's linear window is at least 1 wide.
    return {"WindowCenter": center, "WindowWidth": width} if width >= 1 else {}


def _told(meta: Mapping[str, Any], name: str) -> float | None:
    found = values(meta, name, f"GADGETRON_{name}")
    return number(found[0]) if found else None

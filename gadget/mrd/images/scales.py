"""Rescale slope and intercept of integer pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mrd.images.meta import meta_values
from gadget.mrd.xml_header.elements import to_number

MAXIMUM = 65535
"""Largest uint16 number."""


@dataclass(frozen=True)
class Scale:
    """Linear scale of stored uint16 numbers: pixel = slope * stored + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def stored(self, pixels: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the stored numbers of pixels; pixels that are not finite become 0."""
        steps = np.rint((pixels.astype(np.float64) - self.intercept) / self.slope)
        return np.nan_to_num(np.clip(steps, 0, MAXIMUM), nan=0).astype("<u2")

    def rescaled(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return the pixels of stored numbers."""
        return (stored * self.slope + self.intercept).astype(np.float32)


def scale_from_meta(pixels: NDArray[Any], meta: Mapping[str, Any]) -> Scale | None:
    """Return the scale in the metadata of a uint16 image, if there is one."""
    slope = number_from_meta(meta, "RescaleSlope") if pixels.dtype == np.uint16 else None
    return Scale(slope, number_from_meta(meta, "RescaleIntercept") or 0.0) if slope else None


def pixel_values(stored: NDArray[Any], meta: Mapping[str, Any]) -> NDArray[Any]:
    """Return the pixels of an image, rescaled if it is a uint16 image with a scale of its own."""
    scale = scale_from_meta(stored, meta)
    return stored if scale is None else scale.rescaled(stored)


def number_from_meta(meta: Mapping[str, Any], name: str) -> float | None:
    """Return a number from the metadata of an image."""
    found = meta_values(meta, name, f"GADGETRON_{name}")
    return to_number(found[0]) if found else None

"""What whole numbers in an image stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mrd.export.writers import values
from gadget.mrd.header import to_number

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

    def real(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return the pixels that the numbers in a file stand for."""
        return (stored * self.slope + self.intercept).astype(np.float32)


def told_scale(pixels: NDArray[Any], meta: Mapping[str, Any]) -> Scale | None:
    """Return the scale that the metadata of an image of whole numbers tell of, if they do."""
    slope = told(meta, "RescaleSlope") if pixels.dtype == np.uint16 else None
    return Scale(slope, told(meta, "RescaleIntercept") or 0.0) if slope else None


def told(meta: Mapping[str, Any], name: str) -> float | None:
    """Return a number from the metadata of an image."""
    found = values(meta, name, f"GADGETRON_{name}")
    return to_number(found[0]) if found else None

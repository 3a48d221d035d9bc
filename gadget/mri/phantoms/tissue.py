"""Tissues of phantoms, overlaid with edges as wide as a pixel."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float64]
"""A value at every position of a slice."""


def overlay(image: Field, depth: Field, value: Field | float, pixel: float) -> Field:
    """Overlay a tissue on an image where `depth` [mm] below its surface is positive."""
    return image + coverage(depth, pixel) * (value - image)


def coverage(depth: Field, pixel: float) -> Field:
    """Return the share of each pixel that is inside a tissue; its edge is `pixel` [mm]."""
    return np.clip(depth / pixel + 0.5, 0, 1)

"""Tissues of phantoms, laid over each other with edges as wide as a pixel."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float64]
"""A value at every place of a slice."""


def laid(below: Field, depth: Field, value: Field | float, pixel: float) -> Field:
    """Lay a tissue over the others where `depth` [mm] below its surface is positive."""
    return below + inside(depth, pixel) * (value - below)


def inside(depth: Field, pixel: float) -> Field:
    """Return the share of a pixel that lies inside; its edge is `pixel` [mm]."""
    return np.clip(depth / pixel + 0.5, 0, 1)

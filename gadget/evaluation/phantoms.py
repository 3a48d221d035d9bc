"""Phantoms: a head, in distribution for the prior, and an orange, out of distribution."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from gadget.mri.phantoms.head import head_slice
from gadget.mri.phantoms.orange import orange_slice

MATRIX = (256, 256)
FIELD_OF_VIEW_MM = 220.0
THICKNESS_MM = 6.0
EXTENT_MM = 80.0
"""Of the slices together; beyond that the objects end."""

Draw = Callable[[tuple[int, int], float, float], NDArray[np.float32]]
PHANTOMS: dict[str, Draw] = {"head": head_slice, "fruit": orange_slice}


def phantom_slices(
    name: str, count: int, matrix: tuple[int, int] = MATRIX
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield numbers and images `[y, x]` of `count` slices around the middle of a phantom."""
    distance_mm = min(THICKNESS_MM, EXTENT_MM / count)
    for number in range(count):
        z_mm = distance_mm * (number - (count - 1) / 2)
        yield number, PHANTOMS[name](matrix, FIELD_OF_VIEW_MM, z_mm)

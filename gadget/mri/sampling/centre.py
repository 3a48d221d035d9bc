"""The fully sampled centre of k-space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

MIN_CENTRE = 6
"""Fewest adjacent points along an axis that count as a complete centre."""


def central(size: int, length: int) -> slice:
    """Return the central `length` points of an axis of that size, around index ``size // 2``."""
    length = min(size, length)
    start = size // 2 - length // 2
    return slice(start, start + length)


def centre_extent(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the size (ky, kx) of the largest centred block of `mask` that is fully measured.

    The block grows evenly along both axes; where one axis ends, the other grows on.
    """
    centre = [n // 2 for n in mask.shape]

    def measured(height: int, width: int) -> bool:
        top, left = centre[0] - height // 2, centre[1] - width // 2
        return (
            height <= mask.shape[0]
            and width <= mask.shape[1]
            and bool(mask[top : top + height, left : left + width].all())
        )

    if not measured(1, 1):
        return 0, 0
    sizes = [1, 1]
    growing = [0, 1]
    while growing:
        for axis in list(growing):
            larger = list(sizes)
            larger[axis] += 1
            if measured(larger[0], larger[1]):
                sizes = larger
            else:
                growing.remove(axis)
    return sizes[0], sizes[1]


def has_centre(mask: NDArray[np.bool_] | Tensor) -> bool:
    """Whether the centre of a mask `[ky, kx]` is complete enough to tell of coil sensitivities."""
    rows, columns = (central(n, MIN_CENTRE) for n in mask.shape)
    return bool(mask[rows, columns].all())

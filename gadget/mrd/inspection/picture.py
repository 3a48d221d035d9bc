"""Pictures of a mask: ky to the right; down, kz of a volume and kx of a slice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gadget.extras import optional_import
from gadget.mrd.export.writers import atomic_write

SHADES = " ░▒▓█"
"""From nothing measured to everything."""


def view(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the plane of a mask `[kz, ky, kx]` that shows its pattern, ky to the right."""
    return np.asarray(mask.any(axis=2) if mask.shape[0] > 1 else mask[0].T)


def draw(mask: NDArray[np.bool_], width: int, height: int) -> list[str]:
    """Return lines of shades, at most `width` wide and `height` high.

    Each shade is the measured share of the points that it stands for: the brightest of all, but any
    measured point shows.
    """
    share = _shrunk(_shrunk(view(mask).astype(float), 1, width), 0, height)
    index = np.floor(share * (len(SHADES) - 1) + 1e-9).astype(int)
    index = np.where(share > 0, np.maximum(index, 1), 0)
    return ["".join(SHADES[one] for one in row) for row in index]


def save_picture(mask: NDArray[np.bool_], path: Path) -> None:
    """Write a PNG file with a pixel for each point.

    Raises
    ------
    ConfigError
        matplotlib is missing.
    DataError
        The file cannot be written.
    """
    with optional_import("PNG files need", "png"):
        from matplotlib import image
    with atomic_write(path) as part:
        image.imsave(part, view(mask), cmap="gray", format="png")


def _shrunk(array: NDArray[np.float64], axis: int, most: int) -> NDArray[np.float64]:
    """Return the means of groups of neighbours of one size, `most` of them or fewer."""
    size = array.shape[axis]
    group = -(-size // most)
    starts = np.arange(0, size, group)
    counts = np.minimum(group, size - starts)
    shape = [-1 if one == axis else 1 for one in range(array.ndim)]
    return np.asarray(np.add.reduceat(array, starts, axis=axis) / counts.reshape(shape))

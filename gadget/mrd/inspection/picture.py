"""Pictures of a sampling mask: ky to the right, kz of a volume or kx of a slice down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError
from gadget.extras import optional_import
from gadget.files import safe_write

SHADES = " ░▒▓█"
"""Characters for a growing fraction of measured points."""


def pattern_plane(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Project a mask `[kz, ky, kx]` to the plane that shows its pattern, ky to the right."""
    return np.asarray(mask.any(axis=2) if mask.shape[0] > 1 else mask[0].T)


def draw(mask: NDArray[np.bool_], width: int, height: int) -> list[str]:
    """Draw a mask in characters, at most `width` wide and `height` high.

    Each character shows the fraction of its points that is measured; a single one is visible.
    """
    fraction = _downsampled(_downsampled(pattern_plane(mask).astype(float), 1, width), 0, height)
    index = np.floor(fraction * (len(SHADES) - 1) + 1e-9).astype(int)
    index = np.where(fraction > 0, np.maximum(index, 1), 0)
    return ["".join(SHADES[one] for one in row) for row in index]


def save_picture(mask: NDArray[np.bool_], path: Path) -> None:
    """Write a PNG file with a pixel for each point.

    Raises
    ------
    ConfigError
        matplotlib is missing, or the file cannot be written.
    """
    with optional_import("PNG files need", "png"):
        from matplotlib import image
    with safe_write(path, ConfigError) as part:
        image.imsave(part, pattern_plane(mask), cmap="gray", format="png")


def _downsampled(array: NDArray[np.float64], axis: int, most: int) -> NDArray[np.float64]:
    """Average groups of neighbours along an axis to a length of at most `most`."""
    size = array.shape[axis]
    group = -(-size // most)
    starts = np.arange(0, size, group)
    counts = np.minimum(group, size - starts)
    shape = [-1 if one == axis else 1 for one in range(array.ndim)]
    return np.asarray(np.add.reduceat(array, starts, axis=axis) / counts.reshape(shape))

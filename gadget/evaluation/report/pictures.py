"""Images as PNG data URLs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_laplace, uniform_filter

from gadget.evaluation.uncertainty import foreground

ERRORS = "inferno"
DISPLAY_QUANTILE = 0.998
"""Share of the pixels that the grey scale covers."""
ZOOM = 4
"""The zoom shows one part in so many of each edge."""
MIN_ZOOM_EDGE = 8
"""Edge of a zoomed part, at least; of smaller images all is shown [pixels]."""
OUTLINE = 4
"""Width of the edge of the object, where detail does not count [pixels]."""
MIN_FILLED = 0.97
"""Share of a zoomed part that belongs to the object."""

Pixels = NDArray[np.floating[Any]]


def grey(image: Pixels, peak: float) -> str:
    """Return the data URL of a grey image, black at 0 and white at `peak`."""
    return _data_url(Image.fromarray(_bytes(image, peak), "L"))


def heatmap(image: Pixels, peak: float) -> str:
    """Return the data URL of an error map, from 0 to `peak`."""
    coloured = Image.fromarray(_bytes(image, peak), "P")
    palette = colormaps[ERRORS](np.arange(256), bytes=True)[:, :3]
    coloured.putpalette(palette.astype(np.uint8).tobytes())
    return _data_url(coloured)


def data_url(content: bytes, kind: str) -> str:
    """Return content as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def display_maximum(truth: Pixels) -> float:
    """Return the intensity that is shown white."""
    return float(np.quantile(truth, DISPLAY_QUANTILE)) or 1.0


def zoom(truth: Pixels) -> tuple[slice, slice]:
    """Return the part of an image that shows most detail within the object."""
    size = min(max(MIN_ZOOM_EDGE, min(truth.shape) // ZOOM), *truth.shape)
    inside = foreground(truth)
    # The outline is the strongest edge, and the least interesting.
    within = binary_erosion(inside, iterations=OUTLINE)
    edges = np.abs(gaussian_laplace(truth.astype(np.float64), 1.5)) * within
    detail, filled = (uniform_filter(one.astype(np.float64), size) for one in (edges, inside))
    wanted = np.where(filled >= min(MIN_FILLED, float(filled.max())), detail, -1.0)
    half = size // 2
    height, width = (n - size + 1 for n in truth.shape)
    places = wanted[half : half + height, half : half + width]
    top, left = np.unravel_index(int(np.argmax(places)), places.shape)
    return slice(int(top), int(top) + size), slice(int(left), int(left) + size)


def _bytes(image: Pixels, peak: float) -> NDArray[np.uint8]:
    return np.round(np.clip(image / peak, 0, 1) * 255).astype(np.uint8)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue(), "image/png")

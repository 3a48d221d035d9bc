"""The intensity scale of an image, found the same way in training and in reconstruction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FOREGROUND = 0.1
"""Share of the brightest pixels' value above which a pixel belongs to the object."""


def image_scale(magnitude: NDArray[np.floating[Any]]) -> float:
    """Return the intensity of bright tissue: the 95th percentile of the object's pixels.

    Percentiles of the object alone do not depend on how much air surrounds it. An image of zeros,
    or of values that are no numbers, has the scale 1.
    """
    if not np.isfinite(magnitude).all():
        return 1.0
    brightest = np.percentile(magnitude, 99.9)
    if brightest <= 0:
        return 1.0
    return float(np.percentile(magnitude[magnitude > FOREGROUND * brightest], 95))

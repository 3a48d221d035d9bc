"""Conversion of complex images to magnitude, phase or uint16 pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError
from gadget.mrd.images.meta import MetaValue
from gadget.mrd.images.scales import MAXIMUM

Output = Literal["magnitude", "complex", "phase", "uint16"]

SERIES_OFFSET: dict[str, int] = {"magnitude": 0, "uint16": 0, "complex": 0, "phase": 3000}
"""Added to the series number, as Gadgetron's `ExtractGadget` does."""
STD_SERIES_OFFSET = 100
"""Added to the series number of an image for its standard deviation."""

FIRST_MAXIMUM = 16383
"""Brightest pixel of the first uint16 image of a series: two bits are left for brighter ones."""


@dataclass(frozen=True)
class Pixels:
    """Pixels ready for an image."""

    array: NDArray[np.float32] | NDArray[np.complex64] | NDArray[np.uint16]
    image_type: int
    meta: dict[str, MetaValue] = field(default_factory=dict)


class PixelConverter:
    """Converts the images of a scan; uint16 images of a series share one scale, if it fits them."""

    def __init__(self, output: Output = "magnitude") -> None:
        if output not in SERIES_OFFSET:
            raise ConfigError(
                f"The output must be one of {', '.join(SERIES_OFFSET)}, got '{output}'."
            )
        self.output = output
        self._scales: dict[int, float] = {}

    def convert(
        self, image: NDArray[np.complex64] | NDArray[np.float32], series: int = 0
    ) -> Pixels:
        """Convert an image; phase [rad] lies within -pi and pi.

        uint16 pixels are the magnitude multiplied by a scale that makes the brightest pixel of the
        first image of the series 16383. An image with pixels above 65535 begins a new scale: the
        first slice may hold little but air. The metadata of each image tell how to get the
        magnitude back: pixel * RescaleSlope + RescaleIntercept. Pixels that are not finite become
        0 and 65535.
        """
        if self.output == "complex":
            return Pixels(image.astype(np.complex64), ismrmrd.IMTYPE_COMPLEX)
        if self.output == "phase":
            return Pixels(np.angle(image).astype(np.float32), ismrmrd.IMTYPE_PHASE)
        magnitude = np.abs(image).astype(np.float32)
        if self.output == "magnitude":
            return Pixels(magnitude, ismrmrd.IMTYPE_MAGNITUDE)
        scale = self._scale(magnitude, series)
        steps = np.clip(np.rint(magnitude * scale), 0, MAXIMUM)
        integers = np.nan_to_num(steps, nan=0).astype(np.uint16)
        meta: dict[str, MetaValue] = {
            "RescaleSlope": 1 / scale,
            "RescaleIntercept": 0,
            "GADGETRON_ScaleRatio": scale,
            "GADGETRON_ScaleOffset": 0,
        }
        return Pixels(integers, ismrmrd.IMTYPE_MAGNITUDE, meta)

    def _scale(self, magnitude: NDArray[np.float32], series: int) -> float:
        brightest = float(magnitude[np.isfinite(magnitude)].max(initial=0))
        scale = self._scales.get(series)
        if not brightest > 0:
            return 1.0 if scale is None else scale
        if scale is None or brightest * scale > MAXIMUM:
            scale = self._scales[series] = FIRST_MAXIMUM / brightest
        return scale

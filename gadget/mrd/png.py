"""Images as PNG files, to look at."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import numpy as np

from gadget.errors import ConfigError

BRIGHT = 0.998
"""Share of the pixels that the grey scale covers."""


class PngWriter:
    """Writes each image, grey, with its own window.

    Raises
    ------
    ConfigError
        The folder cannot be made, or matplotlib is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            from matplotlib import image
        except ImportError as error:
            raise ConfigError(
                "PNG files need matplotlib: pip install 'score-gadget[png]'."
            ) from error
        self._write = image.imsave
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error

    def write(self, image: ismrmrd.Image) -> None:
        """Write `series_<series>_image_<index>.png`; partitions of 3D images are numbered too.

        Raises `ConfigError` if a file cannot be written.
        """
        head = image.getHead()
        pixels = np.abs(image.data) if head.image_type != ismrmrd.IMTYPE_PHASE else image.data
        combined = (
            np.sqrt((pixels.astype(np.float32) ** 2).sum(0)) if len(pixels) > 1 else pixels[0]
        )
        low = min(0.0, float(combined.min(initial=0)))
        high = max(float(np.quantile(combined, BRIGHT)), low + 1e-30)
        name = f"series_{head.image_series_index}_image_{head.image_index:03d}"
        for z, plane in enumerate(combined):
            file = f"{name}_z{z:03d}.png" if len(combined) > 1 else f"{name}.png"
            path = self._folder / file
            try:
                self._write(path, plane, vmin=low, vmax=high, cmap="gray", format="png")
            except OSError as error:
                raise ConfigError(f"'{path}' cannot be written: {error.strerror}.") from error

"""Images as PNG files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.extras import optional_import
from gadget.files import safe_write
from gadget.mrd.export.writers import FolderWriter, combine_coils

WINDOW_QUANTILE = 0.998
"""Quantile of the pixels that is white."""


class PngWriter(FolderWriter):
    """Writes each image at once, grey, with its own window.

    The files are `<stem>_series_<series>_image_<index>.png`; planes of volumes and further images
    of the same index are numbered too. Parameters are those of `FolderWriter`.

    Raises
    ------
    ConfigError
        The folder cannot be made, or matplotlib is missing.
    """

    def __init__(self, folder: Path, stem: str = "") -> None:
        with optional_import("PNG files need", "png"):
            from matplotlib import image
        super().__init__(folder, stem)
        self._save = image.imsave
        self._written: Counter[str] = Counter()

    def write(self, image: ismrmrd.Image) -> None:
        """Write an image.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        head = image.getHead()
        planes = combine_coils(image.data)
        low, high = _grey_scale(planes)
        name = f"{self.name(head.image_series_index)}_image_{head.image_index:03d}"
        # Some programs leave the index at 0 in all images of a series.
        self._written[name] += 1
        if self._written[name] > 1:
            name = f"{name}_{self._written[name]}"
        for z, plane in enumerate(planes):
            file = f"{name}_z{z:03d}.png" if len(planes) > 1 else f"{name}.png"
            with safe_write(self.folder / file, DataError) as part:
                self._save(part, plane, vmin=low, vmax=high, cmap="gray", format="png")

    def close(self) -> None:
        """Nothing is left to be written."""


def _grey_scale(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the black and the white level; maps may have pixels that are not finite."""
    finite = pixels[np.isfinite(pixels)]
    low = min(0.0, float(finite.min(initial=0)))
    return low, max(
        float(np.quantile(finite, WINDOW_QUANTILE)) if finite.size else 0.0, low + 1e-30
    )

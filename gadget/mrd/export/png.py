"""Images as PNG files."""

from __future__ import annotations

import glob
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.extras import optional_import
from gadget.files import safe_write
from gadget.mrd.export.writers import FolderWriter, combine_coils, remove_stale

WINDOW_QUANTILE = 0.998
"""Quantile of the pixels that is white."""


class PngWriter(FolderWriter):
    """Writes each image at once, grey, with its own window.

    The files are `<stem>_series_<series>_image_<index>.png`; planes of volumes and further images
    of the same index are numbered too. Files of these names that were there before are removed.
    Parameters are those of `FolderWriter`.

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
        self._names: Counter[str] = Counter()
        self._written: defaultdict[int, set[Path]] = defaultdict(set)

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
        self._names[name] += 1
        if self._names[name] > 1:
            name = f"{name}_{self._names[name]}"
        for z, plane in enumerate(planes):
            path = self.folder / (f"{name}_z{z:03d}.png" if len(planes) > 1 else f"{name}.png")
            with safe_write(path, DataError) as part:
                self._save(part, plane, vmin=low, vmax=high, cmap="gray", format="png")
            self._written[head.image_series_index].add(path)

    def close(self) -> None:
        """Remove what is left of earlier series.

        Raises
        ------
        DataError
            Files cannot be removed.
        """
        for series, written in self._written.items():
            remove_stale(written, f"{glob.escape(self.name(series))}_image_*.png")


def _grey_scale(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return the black and the white level; maps may have pixels that are not finite."""
    finite = pixels[np.isfinite(pixels)]
    low = float(finite.min(initial=0))
    high = float(np.quantile(finite, WINDOW_QUANTILE)) if finite.size else 0.0
    return low, max(high, low + 1e-30)

"""Images as PNG files, to look at."""

from __future__ import annotations

from pathlib import Path

import ismrmrd
import numpy as np

from gadget.errors import ConfigError
from gadget.mrd.export.writers import FolderWriter, combined, replacing

BRIGHT = 0.998
"""Share of the pixels that the grey scale covers."""


class PngWriter(FolderWriter):
    """Writes each image at once, grey, with its own window.

    The files are `<stem>_series_<series>_image_<index>.png`; planes of volumes are numbered too.
    Parameters are those of `FolderWriter`.

    Raises
    ------
    ConfigError
        The folder cannot be made, or matplotlib is missing.
    """

    def __init__(self, folder: Path, stem: str = "") -> None:
        try:
            from matplotlib import image
        except ImportError as error:
            raise ConfigError(
                "PNG files need matplotlib: pip install 'score-gadget[png]'."
            ) from error
        super().__init__(folder, stem)
        self._save = image.imsave

    def write(self, image: ismrmrd.Image) -> None:
        """Write an image.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        head = image.getHead()
        planes = combined(image.data)
        low = min(0.0, float(planes.min(initial=0)))
        high = max(float(np.quantile(planes, BRIGHT)), low + 1e-30)
        name = f"{self.name(head.image_series_index)}_image_{head.image_index:03d}"
        for z, plane in enumerate(planes):
            file = f"{name}_z{z:03d}.png" if len(planes) > 1 else f"{name}.png"
            with replacing(self.folder / file) as part:
                self._save(part, plane, vmin=low, vmax=high, cmap="gray", format="png")

    def close(self) -> None:
        """Nothing is left to be written."""

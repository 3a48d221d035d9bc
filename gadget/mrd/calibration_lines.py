"""Calibration lines (ACS) of a scan, and the images that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Container

import ismrmrd

from gadget.mrd.acquisition import ImageKey
from gadget.mrd.grid import LineGrid
from gadget.mrd.header import Encoding
from gadget.mri.kspace import KSpace


class CalibrationLines:
    """Separately measured calibration lines, of the latest repetition and of unfinished images.

    Parameters
    ----------
    warn
        Called with a sentence about lines that cannot be used.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._grids: dict[ImageKey, LineGrid] = {}

    def grid(
        self,
        key: ImageKey,
        encoding: Encoding,
        header: ismrmrd.AcquisitionHeader,
        unfinished: Container[ImageKey] = (),
    ) -> LineGrid:
        """Return the grid that a line belongs to.

        Those of a new repetition replace the old, but for those of images that are `unfinished`.
        """
        grid = self._grids.get(key)
        if grid is None or grid.coils != header.active_channels:
            for old in [other for other in self._grids if other[:-1] == key[:-1]]:
                if old not in unfinished:
                    del self._grids[old]
            grid = self._grids[key] = LineGrid.of_readout(encoding, header)
        return grid

    def best_match(self, key: ImageKey, image: LineGrid) -> KSpace | None:
        """Return the calibration lines whose counters are closest to those of an image."""
        candidates = [
            other
            for other, lines in self._grids.items()
            if other.slice == key.slice
            and lines.coils == image.coils
            and lines.encoding.encoded == image.encoding.encoded
        ]
        if not candidates:
            return None
        best = max(candidates, key=key.similarity)
        data, weight, _ = self._grids[best].to_dense(keep=True)
        if data.shape[-1] != min(image.width, image.encoding.recon_readout):
            self._warn(f"The calibration lines of {key.name} have another readout; not used.")
            return None
        return KSpace(data, weight)

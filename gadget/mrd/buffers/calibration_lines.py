"""Calibration lines (ACS) of a scan, and the images that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import ismrmrd
from numpy.typing import NDArray

from gadget.mrd.buffers.buffer import grid_field_of_view
from gadget.mrd.buffers.grid import LineGrid
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.xml_header.header import Encoding
from gadget.mri.kspace import KSpace
from gadget.mri.resample import centred_resize

TOLERANCE = 0.01
"""Largest relative difference of fields of view that count as the same."""


class CalibrationLines:
    """Calibration lines, of the latest repetition and of unfinished images.

    Those that an image has among its own serve images without. Of interleaved images all lines
    do, summed over repetitions and phases.

    Parameters
    ----------
    warn
        Called with a sentence about lines that cannot be used.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._grids: dict[ImageKey, LineGrid] = {}
        self._warned: set[tuple[int, int]] = set()

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

    def include(self, key: ImageKey, image: LineGrid) -> None:
        """Add the lines of a complete image, if it is one of interleaved images."""
        if not image.encoding.interleaved:
            return
        key = key.without_time
        lines = self._grids.get(key)
        if lines is None or (lines.coils, lines.width) != (image.coils, image.width):
            lines = self._grids[key] = LineGrid(image.encoding, image.coils, image.width)
        lines.include(image)

    def lacks_centre(self, key: ImageKey) -> bool:
        """Whether the centre is not yet complete in the lines of interleaved images so far."""
        return not self._grids[key.without_time].centre_sampled

    def best_match(self, key: ImageKey, image: LineGrid) -> KSpace | None:
        """Return the calibration lines whose counters are closest to those of an image.

        None where there are none, or where the image has them among its own.
        """
        candidates = [
            other
            for other, lines in self._grids.items()
            if other.slice == key.slice
            and lines.coils == image.coils
            and not (image.encoding.merges_calibration and image.covers(lines))
        ]
        fitting = [other for other in candidates if _same_field_of_view(self._grids[other], image)]
        if not fitting:
            if candidates:
                self._warn_of_field_of_view(candidates[0], key)
            return None
        data, weight, _ = self._grids[max(fitting, key=key.similarity)].to_dense(keep=True)
        # Calibration lines of an encoding space of their own have a smaller matrix.
        shape = image.dense_shape
        return KSpace(_on_grid(data, shape), _on_grid(weight, shape))

    def _warn_of_field_of_view(self, lines: ImageKey, image: ImageKey) -> None:
        pair = lines.encoding, image.encoding
        if pair not in self._warned:
            self._warn(
                f"The calibration lines of {lines.name} cover another field of view than the image "
                f"of {image.name}; not used."
            )
        self._warned.add(pair)


def _same_field_of_view(lines: LineGrid, image: LineGrid) -> bool:
    """Whether neighbouring samples of both are equally far from each other in k-space."""
    return all(
        one == other == 1 or abs(covered / wanted - 1) < TOLERANCE
        for one, other, covered, wanted in zip(
            lines.dense_shape,
            image.dense_shape,
            reversed(_field_of_view(lines)),
            reversed(_field_of_view(image)),
            strict=True,
        )
        if wanted > 0
    )


def _field_of_view(grid: LineGrid) -> tuple[float, float, float]:
    return grid_field_of_view(grid.encoding, grid.dense_shape[-1])


def _on_grid(array: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Cut k-space `[..., kz, ky, kx]` to a shape, or fill it up with zeros."""
    for axis, size in enumerate(shape):
        array = centred_resize(array, axis - 3, size)
    return array

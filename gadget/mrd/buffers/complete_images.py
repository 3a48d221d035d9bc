"""Complete images, in their order, until their calibration lines are there."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.grid import LineGrid
from gadget.mrd.readouts.image_key import ImageKey


class CompleteImages:
    """Queue of complete images.

    The first of interleaved images wait for those that follow, as many as the acceleration: then
    their lines together have a complete centre of k-space.

    Parameters
    ----------
    calibration
        The calibration lines so far.
    """

    def __init__(self, calibration: CalibrationLines) -> None:
        self._calibration = calibration
        self._waiting: deque[tuple[ImageKey, LineGrid]] = deque()

    def add(self, key: ImageKey, grid: LineGrid) -> None:
        """Add an image, and its lines to those that calibrate others."""
        self._calibration.include(key, grid)
        self._waiting.append((key, grid))

    def take(self, *, end: bool) -> Iterator[tuple[ImageKey, LineGrid]]:
        """Yield images that need not wait any longer; at the end of a scan none does."""
        while self._waiting and (end or not self._waits(*self._waiting[0])):
            yield self._waiting.popleft()

    def _waits(self, key: ImageKey, grid: LineGrid) -> bool:
        if not (grid.encoding.interleaved and self._calibration.lacks_centre(key)):
            return False
        alike = sum(other.without_time == key.without_time for other, _ in self._waiting)
        return alike < math.prod(grid.encoding.acceleration)

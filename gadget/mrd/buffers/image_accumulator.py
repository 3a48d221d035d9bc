"""Accumulation of the readouts of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.buffers.grid import LineGrid, add_readout
from gadget.mrd.readouts import flags


@dataclass
class ImageAccumulator:
    """The k-space grid of an incomplete image, and the LAST_IN_* flags seen so far."""

    grid: LineGrid
    image_lines: int = 0
    flagged: bool = False
    """A LAST_IN_* flag came, but more readouts may follow (of averages, of partitions)."""
    latest: ismrmrd.AcquisitionHeader | None = None
    """Header of the latest readout that was added."""
    _averages: int = 0
    """Highest average counter so far."""
    _segments: int = 0
    """Highest segment counter so far."""
    _ended_partitions: set[int] = field(default_factory=set)
    """Partitions whose last readout came."""

    def add(
        self,
        position: tuple[int, int],
        samples: NDArray[np.complex64],
        header: ismrmrd.AcquisitionHeader,
    ) -> None:
        """Add a readout at (kz, ky)."""
        add_readout(self.grid, position, samples, header)
        # Only now: a line that does not fit the grid is none of the image.
        self.latest = header
        self._averages = max(self._averages, header.idx.average)
        self._segments = max(self._segments, header.idx.segment)
        self.image_lines += not flags.calibration_only(header.flags)

    @property
    def expects_more(self) -> bool:
        """Whether the header declares further averages or segments than have come."""
        limits = self.grid.encoding.limits
        return any(
            (limit := limits.get(counter)) is not None and highest < limit.maximum
            for counter, highest in (("average", self._averages), ("segment", self._segments))
        )

    def is_completed_by(self, header: ismrmrd.AcquisitionHeader) -> bool:
        """Note the LAST_IN_* flag of a readout; return whether it completes the image at once."""
        limits = self.grid.encoding.limits
        average, segment = limits.get("average"), limits.get("segment")
        if average is not None and average.maximum < self._averages:
            average = None  # a header that declares less than comes does not know the last one
        if header.flags & flags.LAST_IN_MEASUREMENT:
            return True
        if segment is not None and self._segments < segment.maximum:
            return False
        if average is not None and header.idx.average < average.maximum:
            return False
        self._ended_partitions.add(header.idx.kspace_encode_step_2)
        complete = self._has_all_partitions(header.flags)
        # Segments that take turns, as the directions of an echo train do, end with any of them.
        last = segment is None or header.idx.segment >= segment.maximum
        if average is not None and complete and last and self._has_all_lines:
            return True
        # Of a volume with lines of one partition so far, it is the flag of that.
        self.flagged = complete or self.grid.partitions > 1
        return False

    @property
    def _has_all_lines(self) -> bool:
        """Whether as many lines came as the header declares, unless it tells of acceleration.

        GE's converter flags the outermost line, which is not the last one of a fast spin echo.
        """
        encoding = self.grid.encoding
        limits = [encoding.limits.get(f"kspace_encoding_step_{axis}") for axis in (1, 2)]
        lines = math.prod(
            size if limit is None else min(size, limit.count)
            for size, limit in zip(encoding.encoded.matrix[1:], limits, strict=True)
        )
        return encoding.acceleration != (1, 1) or len(self.grid) >= lines

    def _has_all_partitions(self, bits: int) -> bool:
        nz = self.grid.encoding.encoded.matrix[2]
        if nz == 1 or bits & flags.LAST_IN_PARTITIONS:
            return True
        limit = self.grid.encoding.limits.get("kspace_encoding_step_2")
        # Embedded calibration lines may have been everywhere long before the end.
        return len(self._ended_partitions) >= (nz if limit is None else limit.count)

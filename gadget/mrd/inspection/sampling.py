"""Description of sampling patterns."""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gadget.mrd.buffers.buffer import Buffer
from gadget.mrd.inspection.facts import SamplingFacts
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mri.sampling.centre import centre_extent

Mask = NDArray[np.bool_]

MAX_NAMED = 5
"""Images that are named in a message; the others are counted."""
PARTIAL_FOURIER_MAXIMUM = 0.93
"""Partial Fourier factor above which missing outer lines count as chance."""


class LinePattern(NamedTuple):
    """Sampling pattern of a mask `[kz, ky]`."""

    name: Literal["complete", "uniform", "irregular"]
    step: tuple[int, int] | None
    """Along ky and kz."""
    centre: tuple[int, int]
    """Lines along ky and kz of the complete centre, as coil calibration counts them."""


class Sampling:
    """Statistics of the measured lines of the images of one encoding space."""

    def __init__(self, buffer: Buffer) -> None:
        self.acceleration = buffer.kspace.acceleration
        self.first = buffer.kspace.mask
        """Measured points `[kz, ky, kx]` of the first image."""
        self.counts: Counter[int] = Counter()
        self.averages = 0
        """Largest number of readouts averaged to one line."""
        self._patterns: set[int] = set()
        self._names: dict[int, list[str]] = {}

    def add(self, buffer: Buffer, key: ImageKey) -> None:
        """Add an image."""
        weight = buffer.kspace.weight
        lines = _any(weight > 0, -1)
        count = int(lines.sum())
        self.counts[count] += 1
        self.averages = max(self.averages, int(weight.max()))
        self._patterns.add(hash(np.packbits(lines).tobytes()))
        names = self._names.setdefault(count, [])
        if len(names) < MAX_NAMED:
            names.append(key.name)

    @property
    def images(self) -> int:
        """Number of images."""
        return self.counts.total()

    def incomplete_images(self) -> str:
        """Name images with fewer lines than most have; an empty text if there are none."""
        usual = max(self.counts, key=lambda count: (self.counts[count], count))
        fewer = sorted(count for count in self.counts if count < usual)
        named = [f"{name} ({count} of {usual})" for count in fewer for name in self._names[count]]
        more = sum(self.counts[count] for count in fewer) - len(named[:MAX_NAMED])
        return "; ".join(named[:MAX_NAMED]) + (f" and {more} more" if more else "")

    def facts(self) -> SamplingFacts:
        """Return the description of the lines."""
        lines = _any(self.first, -1)
        pattern = describe(lines)
        return SamplingFacts(
            lines=(min(self.counts), max(self.counts)),
            grid_lines=lines.size,
            acceleration=round(self.acceleration, 3),
            pattern=pattern.name,
            step=pattern.step,
            centre=pattern.centre,
            partial_fourier=(
                partial_fourier_factor(_any(lines, 0)),
                partial_fourier_factor(_any(lines, 1)),
            ),
            alike=len(self._patterns) == 1,
        )


def describe(lines: Mask) -> LinePattern:
    """Return the sampling pattern of a mask `[kz, ky]`."""
    centre_z, centre_y = centre_extent(lines)
    centre = (centre_y, centre_z)
    (z0, z1), (y0, y1) = _complete_block(lines)
    outside = lines.copy()
    outside[z0:z1, y0:y1] = False
    kz, ky = np.nonzero(outside)
    if not kz.size:
        return LinePattern("complete", (1, 1), centre)
    step_z, step_y = (max(1, math.gcd(*(axis - axis[0]).tolist())) for axis in (kz, ky))
    all_z, all_y = np.nonzero(lines)
    box = lines[all_z.min() : all_z.max() + 1, all_y.min() : all_y.max() + 1]
    first_z, first_y = (kz[0] - all_z.min()) % step_z, (ky[0] - all_y.min()) % step_y
    if box[first_z::step_z, first_y::step_y].all():
        return LinePattern("uniform", (step_y, step_z), centre)
    return LinePattern("irregular", None, centre)


def partial_fourier_factor(along: Mask) -> float:
    """Return the partial Fourier factor of an axis: 1 where both sides of the centre are alike."""
    measured = np.flatnonzero(along)
    size, center = len(along), len(along) // 2
    if not measured.size:
        return 0.0
    left, right = center - measured[0], measured[-1] + 1 - center - size % 2
    longest = 2 * max(left, right) + size % 2
    factor = (measured[-1] + 1 - measured[0]) / max(1, longest)
    return round(float(factor), 3) if factor < PARTIAL_FOURIER_MAXIMUM else 1.0


def _complete_block(lines: Mask) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the fully sampled rectangle around the centre, grown side by side."""
    bounds = [[size // 2, size // 2] for size in lines.shape]
    if not lines[bounds[0][0], bounds[1][0]]:
        return (bounds[0][0], bounds[0][0]), (bounds[1][0], bounds[1][0])
    for side in bounds:
        side[1] += 1
    grown = True
    while grown:
        grown = False
        for axis, end in ((1, 1), (1, 0), (0, 1), (0, 0)):
            tried = [list(side) for side in bounds]
            tried[axis][end] += 1 if end else -1
            (z0, z1), (y0, y1) = tried
            inside = z0 >= 0 and y0 >= 0 and z1 <= lines.shape[0] and y1 <= lines.shape[1]
            if inside and lines[z0:z1, y0:y1].all():
                bounds, grown = tried, True
    (z0, z1), (y0, y1) = bounds
    return (z0, z1), (y0, y1)


def _any(mask: Mask, axis: int) -> Mask:
    return np.asarray(mask.any(axis=axis))

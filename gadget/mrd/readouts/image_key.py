"""Which image a readout belongs to, and which one an image is."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import NamedTuple

import ismrmrd


class ImageCounters(NamedTuple):
    """Counters of an image in a scan; its readouts share them.

    There is no `average`: an image is the sum of them.
    """

    slice: int
    contrast: int
    phase: int
    set: int
    repetition: int

    @classmethod
    def of(cls, source: ismrmrd.EncodingCounters | ismrmrd.ImageHeader | ImageKey) -> ImageCounters:
        """Return the counters of a readout, of an image, or in a key."""
        return cls(*_COUNTERS(source))


_COUNTERS = attrgetter(*ImageCounters._fields)


class ImageKey(NamedTuple):
    """Identifies an image by its encoding space and its counters."""

    encoding: int
    slice: int
    contrast: int
    phase: int
    set: int
    repetition: int

    @classmethod
    def of(cls, header: ismrmrd.AcquisitionHeader) -> ImageKey:
        """Return which image a readout belongs to."""
        return cls(header.encoding_space_ref, *ImageCounters.of(header.idx))

    @property
    def name(self) -> str:
        """The counters as text."""
        return ", ".join(f"{field} {value}" for field, value in self._asdict().items())

    @property
    def without_time(self) -> ImageKey:
        """The key of all images that differ in time alone, in repetition and phase."""
        return self._replace(phase=0, repetition=0)

    def similarity(self, other: ImageKey) -> tuple[int, float]:
        """Rank another image as source of coil maps: most equal counters, then latest earlier."""
        same = sum(a == b for a, b in zip(self, other, strict=True))
        age = self.repetition - other.repetition
        return same, -age if age >= 0 else -math.inf

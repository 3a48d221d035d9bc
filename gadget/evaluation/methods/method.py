"""Interface of the compared methods, and what they share: estimates and coil maps."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.centre import centre_extent

REGULARISATION = (0.003, 0.001, 0.01)
"""Regularisation of compressed sensing, for bright pixels near 1; the middle one first."""
KERNELS = (6, 4)
"""Widths of the ESPIRiT kernel [points]: the usual one, and the one for a small centre."""
MIN_COVERAGE = 0.98
"""Share of the image's energy that coil maps have to cover."""


@dataclass(frozen=True)
class Estimate:
    """A reconstructed image with its setting and time."""

    image: NDArray[np.float32]
    """Magnitude `[y, x]` on the grid of k-space, in the scale of the data."""
    seconds: float
    """Reconstruction time, calibration included [s]."""
    setting: str = ""
    """Setting of this image, where a method has several: ``0.003`` for a regularisation."""
    std: NDArray[np.float32] | None = None
    """Predicted standard deviation of the magnitude `[y, x]`."""
    evaluations: float | None = None
    """Network evaluations of one complex image, for one posterior sample."""
    note: str = ""
    """Reason of a fallback."""


class Method(Protocol):
    """A reconstruction method."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    @property
    def label(self) -> str:
        """For tables and plots."""
        ...

    def reconstruct(self, kspace: KSpace) -> Iterator[Estimate]:
        """Yield images of one whitened 2D scan, one for each setting that is worth a try.

        The first is the one to take where nobody knows the truth.
        """
        ...


class CoilMaps(ABC):
    """Coil maps of the last scan, cached: methods with the same maps share them.

    They are found in its separate calibration lines, where it has any.
    """

    def __init__(self) -> None:
        self._kspace: KSpace | None = None
        self._maps: NDArray[np.complex64] = np.empty(0, np.complex64)
        self._seconds = 0.0

    def of(self, kspace: KSpace) -> tuple[NDArray[np.complex64], float]:
        """Return maps `[coil, y, x]` and the seconds that they took."""
        if kspace is not self._kspace:
            started = time.monotonic()
            self._maps = self._calibrate(kspace.calibration or kspace)
            self._kspace, self._seconds = kspace, time.monotonic() - started
        return self._maps, self._seconds

    @abstractmethod
    def _calibrate(self, kspace: KSpace) -> NDArray[np.complex64]: ...


def calibration_width(kspace: KSpace) -> int:
    """Return the width [points] of the largest centred square that was measured completely."""
    return min(centre_extent(kspace.mask[0]))


def covers_object(maps: NDArray[np.complex64], kspace: KSpace) -> bool:
    """Whether coil maps `[coil, y, x]` cover the object; ESPIRiT masks what it doubts.

    Where the fully measured centre is hardly larger than the kernel, it can doubt nearly all.
    """
    power = (np.abs(ifftc(kspace.data[:, 0])) ** 2).sum(0)
    kept = power[(np.abs(maps) > 0).any(axis=0)]
    return bool(np.isfinite(maps).all() and kept.sum() >= MIN_COVERAGE * power.sum())

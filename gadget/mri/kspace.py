"""The k-space buffer: what one image is reconstructed from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError

log = logging.getLogger(__name__)

LARGEST = 1e19
"""Largest magnitude of a sample: single precision does not hold the squares of larger ones. No
receiver sends them."""


@dataclass(frozen=True)
class KSpace:
    """K-space of one image and which of its points were measured.

    The grid is centred: k = 0 lies at index ``n // 2`` of every axis.
    """

    data: NDArray[np.complex64]
    """Samples `[coil, kz, ky, kx]`, averages divided by their count, 0 where not measured."""
    weight: NDArray[np.float32]
    """Averages per point `[kz, ky, kx]`; 0 where not measured."""
    calibration: KSpace | None = None
    """Calibration lines, on the same grid: for the coil sensitivities only, never for the image."""

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.weight.shape != self.data.shape[1:]:
            raise DataError(
                "k-space must be [coil, kz, ky, kx] with weights [kz, ky, kx], "
                f"got {list(self.data.shape)} and {list(self.weight.shape)}."
            )
        if self.data.dtype != np.complex64 or self.weight.dtype != np.float32:
            # Networks and maps are of single precision: others would cost every sampler.
            raise DataError(
                "k-space must be complex64 with weights float32, "
                f"got {self.data.dtype} and {self.weight.dtype}."
            )

    def drop_nonfinite(self) -> KSpace:
        """Return it without the points where a coil has a NaN, infinite or absurd value.

        Calibration lines of which no point is left are left out.

        Raises
        ------
        DataError
            No point is left.
        """
        calibration = self.calibration
        if calibration is not None:
            try:
                calibration = calibration.drop_nonfinite()
            except DataError:
                log.warning("All calibration samples are NaN or infinite: they are not used.")
                calibration = None
        finite = (np.abs(self.data) < LARGEST).all(axis=0)
        if finite.all():
            return replace(self, calibration=calibration)
        nonfinite = np.count_nonzero(self.mask & ~finite)
        if nonfinite == np.count_nonzero(self.mask):
            raise DataError("All measured samples are NaN or infinite: there is no image of them.")
        log.warning("%d points hold samples that are no numbers: they are not measured.", nonfinite)
        data = np.where(finite, self.data, np.complex64(0))
        return KSpace(data, self.weight * finite, calibration)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Measured points `[kz, ky, kx]`."""
        return self.weight > 0

    @property
    def acceleration(self) -> float:
        """Points of the grid divided by measured points."""
        return self.weight.size / max(1, int(np.count_nonzero(self.weight)))

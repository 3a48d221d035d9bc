"""Coils of which not one number comes, in scans whose other coils are as they should be."""

from __future__ import annotations

import functools
from collections.abc import Callable

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import header_of, with_samples


class DeadCoils:
    """Silences coils that have sent nothing but NaN or infinite samples since a scan began.

    They would cost every readout. The noise scan is looked at on its own.

    Parameters
    ----------
    warn
        Called with a sentence that names the coils.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn_once = functools.cache(warn)
        self._dead: dict[tuple[int, int], NDArray[np.bool_]] = {}
        """Which coils `[coil]` are, by their number and the kind of readout."""
        self._alive: set[tuple[int, int]] = set()
        """Numbers of coils and kinds of readouts of which none is."""

    def silence(self, acquisition: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        """Return a readout with zeros from dead coils; most often it is the one that came."""
        samples = acquisition.data
        silenced = self.silenced(samples, header_of(acquisition).flags)
        return acquisition if silenced is samples else with_samples(acquisition, silenced)

    def has_none(self, header: ismrmrd.AcquisitionHeader) -> bool:
        """Whether it is known that no coil of such readouts is dead."""
        return _kind(header.active_channels, header.flags) in self._alive

    def silenced(self, samples: NDArray[np.complex64], bits: int) -> NDArray[np.complex64]:
        """Return samples `[coil, kx]` of a readout with these flags, zeros from dead coils."""
        kind = _kind(len(samples), bits)
        if kind in self._alive:
            return samples
        without_numbers = np.logical_not(np.isfinite(samples).any(axis=1))
        if without_numbers.all():  # a damaged readout, which tells nothing of its coils
            return samples
        dead = self._dead[kind] = self._dead.get(kind, without_numbers) & without_numbers
        if not dead.any():
            self._alive.add(kind)
            return samples
        self._tell(np.flatnonzero(dead))
        return np.where(dead[:, None], np.complex64(0), samples)

    def _tell(self, coils: NDArray[np.intp]) -> None:
        named = ", ".join(map(str, coils))
        self._warn_once(
            f"All samples of these coils are NaN or infinite: {named} (the first is 0). Zeros take "
            "their place, and images are of the other coils."
        )


def _kind(coils: int, bits: int) -> tuple[int, int]:
    return coils, bits & flags.NOISE

"""Whitening: the covariance of receiver noise between coils, and what makes it the identity.

The variance of complex noise is E|n|^2 throughout, the sum over real and imaginary part. (Gadgetron
counts the variance of each part, so its whitened noise is stronger by the square root of two.)
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SAMPLES_PER_COIL = 4
"""A covariance of fewer samples a coil says more about chance than about the coils."""
MAX_CONDITION = 1e6
EDGE_SHARE = 8
"""One in that many samples at each end of a readout counts as its edge."""
MAX_NEIGHBOUR_CORRELATION = 0.4
"""White noise has 0 between neighbouring samples; receiver filters raise that to about 0.25."""


class NoiseCovariance:
    """Covariance between coils, summed up over noise readouts."""

    def __init__(self, coils: int) -> None:
        self.samples = 0
        self._sum = np.zeros((coils, coils), np.complex128)

    @property
    def coils(self) -> int:
        """Number of coils."""
        return len(self._sum)

    def add(self, noise: NDArray[np.complex64]) -> None:
        """Add noise samples `[coil, sample]`."""
        wide = noise.astype(np.complex128)
        self._sum += wide @ wide.conj().T
        self.samples += noise.shape[1]

    def matrix(self) -> NDArray[np.complex128]:
        """Return the covariance `[coil, coil]`, E[n n^H]."""
        return self._sum / max(1, self.samples)


def whitening_matrix(covariance: NoiseCovariance) -> NDArray[np.complex64]:
    """Return W `[coil, coil]` that makes noise white: W C W^H = 1, from C = L L^H by W = L^-1.

    Where the samples are too few for that, or some coils measured the same, every coil is only
    scaled to unit noise variance; a coil without noise is left as it is.

    Source: Pruessmann et al., Magn Reson Med 2001;46:638 (virtual channels).
    """
    matrix = covariance.matrix()
    coils = covariance.coils
    level = np.sqrt(np.diag(matrix).real)
    # Scaled to unit variance first, so that coils of very different gain are not singular.
    scale = np.divide(1, level, out=np.ones(coils), where=level > 0)
    correlation = matrix * np.outer(scale, scale)
    silent = np.flatnonzero(level == 0)
    correlation[silent, silent] = 1
    if silent.size:
        log.warning("Coils %s measured no noise at all; they are left as they are.", silent)
    if covariance.samples < SAMPLES_PER_COIL * coils:
        reason = f"{covariance.samples} noise samples are too few for {coils} coils"
    elif not np.linalg.cond(correlation) < MAX_CONDITION:
        reason = "the noise covariance is singular"
    else:
        lower = np.linalg.cholesky(correlation)
        return (np.linalg.inv(lower) * scale).astype(np.complex64)
    log.warning("Coils are scaled to equal noise but not decorrelated: %s.", reason)
    return np.diag(scale).astype(np.complex64)


def bandwidth_scale(
    noise_dwell_us: float, data_dwell_us: float, relative_bandwidth: float | None
) -> float:
    """Return what a whitening matrix has to be multiplied with for data of another bandwidth.

    Noise variance grows with the bandwidth, the inverse of the dwell time [us]. A dwell time of 0
    or without end is unknown, and nothing is scaled.

    Source: Kellman and McVeigh, Magn Reson Med 2005;54:1439, eq. 5.
    """
    if not (0 < noise_dwell_us < np.inf and 0 < data_dwell_us < np.inf):
        return 1.0
    return float(np.sqrt(data_dwell_us / noise_dwell_us * (relative_bandwidth or 1.0)))


def edge_covariance(readouts: list[NDArray[np.complex64]]) -> NoiseCovariance | None:
    """Estimate the covariance from the ends of readouts `[coil, kx]`, where signal is weakest.

    Of all the ends, the half with the least power counts. Nothing is returned where that leaves too
    little to estimate from.
    """
    ends = [end for readout in readouts for end in _ends(readout)]
    power = np.array([np.mean(np.abs(end) ** 2) for end in ends])
    ends = [ends[i] for i in np.argsort(power)[: (len(ends) + 1) // 2] if power[i] > 0]
    if not ends:
        return None
    covariance = NoiseCovariance(len(ends[0]))
    for end in ends:
        covariance.add(end)
    enough = covariance.samples >= SAMPLES_PER_COIL * covariance.coils
    return covariance if enough else None


def ends_in_noise(readout: NDArray[np.complex64]) -> bool:
    """Whether the ends of a readout `[coil, kx]` hold noise rather than signal.

    Neighbouring samples of an object smaller than the field of view are alike, and a covariance of
    signal would weight the coils by what they see, not by their noise.
    """
    ends = np.array(_ends(readout))
    if ends.shape[-1] < 2:
        return False
    neighbours = abs(np.vdot(ends[..., :-1], ends[..., 1:]))
    power = np.linalg.norm(ends[..., :-1]) * np.linalg.norm(ends[..., 1:])
    return bool(neighbours <= MAX_NEIGHBOUR_CORRELATION * power)


def _ends(readout: NDArray[np.complex64]) -> list[NDArray[np.complex64]]:
    count = readout.shape[1] // EDGE_SHARE
    return [readout[:, :count], readout[:, readout.shape[1] - count :]] if count else []

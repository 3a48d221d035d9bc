"""Prewhitening: the noise covariance of the coils, and the matrix that makes it the identity.

The variance of complex noise is E|n|^2 throughout, the sum over real and imaginary part. (Gadgetron
counts the variance of each part, so its whitened noise is stronger by the square root of two.)
"""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

SAMPLES_PER_COIL = 4
"""Fewest samples a coil for a covariance."""
MAX_CONDITION = 1e6
EDGE_SHARE = 8
"""The edges of a readout are one in so many samples at each end."""
DIFFERENCES = 8
"""Order of the finite differences of samples: a high-pass that leaves 2 % of the power of signal at
the edge of half the field of view, less of signal within, and all of white noise."""
CORRELATED = 4
"""Differences are correlated: of so many in a row, one counts as independent."""
NOISE_QUANTILE = 0.25
"""Quantile of the power of differences that is that of noise."""
MAX_POWER = 2.0
"""Largest power of noise, relative to that quantile."""
SPIKE = 40.0
"""Power of a sample, relative to the median of many, that is no noise: one in 1e12 has it."""
MAX_EXCESS = 0.3
"""Allowed excess of the correlation of neighbours over white noise: receiver filters cause some."""


class NoiseCovariance:
    """Noise covariance of the coils, accumulated over readouts."""

    def __init__(self, coils: int) -> None:
        self.samples = 0
        self._sum = np.zeros((coils, coils), np.complex128)

    @property
    def coils(self) -> int:
        """Number of coils."""
        return len(self._sum)

    def add(self, noise: NDArray[np.complex64]) -> None:
        """Add noise samples `[coil, sample]`, but for spikes."""
        wide = noise.astype(np.complex128)
        wide = wide[:, ~_are_spikes(wide)]
        self._sum += wide @ wide.conj().T
        self.samples += wide.shape[1]

    def matrix(self) -> NDArray[np.complex128]:
        """Return the covariance `[coil, coil]`, E[n n^H]."""
        return self._sum / max(1, self.samples)


def _are_spikes(noise: NDArray[np.complex128]) -> NDArray[np.bool_]:
    """Whether samples `[sample]` of noise `[coil, sample]` hold a spike in any coil."""
    power = np.abs(noise) ** 2
    usual = np.median(power, axis=1, keepdims=True)
    return np.asarray(((power > SPIKE * usual) & (usual > 0)).any(axis=0))


def whitening_matrix(covariance: NoiseCovariance) -> NDArray[np.complex64]:
    """Return W `[coil, coil]` that makes noise white: W C W^H = 1, from C = L L^H by W = L^-1.

    Where the samples are too few for that, or some coils measured the same, every coil is only
    scaled to unit noise variance; a coil without noise is left as it is.

    Source: Pruessmann et al., Magn Reson Med 2001;46:638 (virtual channels).
    """
    matrix = covariance.matrix()
    coils = covariance.coils
    std = np.sqrt(np.diag(matrix).real)
    # Scaled to unit variance first, so that coils of very different gain are not singular.
    scale = np.divide(1, std, out=np.ones(coils), where=std > 0)
    correlation = matrix * np.outer(scale, scale)
    silent = np.flatnonzero(std == 0)
    correlation[silent, silent] = 1
    if silent.size:
        log.warning("Coils %s measured no noise at all; they are left as they are.", silent)
    if covariance.samples < SAMPLES_PER_COIL * coils:
        reason = f"{covariance.samples} noise samples are too few for {coils} coils"
    elif not (np.isfinite(correlation).all() and np.linalg.cond(correlation) < MAX_CONDITION):
        reason = "the noise covariance is singular"
    else:
        lower = np.linalg.cholesky(correlation)
        return (np.linalg.inv(lower) * scale).astype(np.complex64)
    log.warning("Coils are scaled to equal noise but not decorrelated: %s.", reason)
    return np.diag(scale).astype(np.complex64)


def bandwidth_scale(
    noise_dwell_us: float, data_dwell_us: float, relative_bandwidth: float | None
) -> float:
    """Return the factor for a whitening matrix that is used on data of another bandwidth.

    Noise variance grows with the bandwidth, the inverse of the dwell time [us]. A dwell time of 0
    or without end is unknown, and nothing is scaled.

    Source: Kellman and McVeigh, Magn Reson Med 2005;54:1439, eq. 5.
    """
    if not (0 < noise_dwell_us < np.inf and 0 < data_dwell_us < np.inf):
        return 1.0
    return float(np.sqrt(data_dwell_us / noise_dwell_us * (relative_bandwidth or 1.0)))


def edge_covariance(readouts: list[NDArray[np.complex64]]) -> NoiseCovariance | None:
    """Estimate the covariance from the edges of readouts `[coil, kx]`, where signal is weakest.

    Differences of neighbouring samples hold what lies far from the middle of the field of view,
    which readout oversampling makes wider than the object: signal goes and noise stays. Edges
    with more than noise in them, or much more power than the weakest, are left out. None where too
    few samples are left.
    """
    edges = [edge for readout in readouts for edge in _noise_differences(readout)]
    power = np.array([np.mean(np.abs(edge) ** 2) for edge in edges])
    if not power.any():
        return None
    weakest = np.quantile(power[power > 0], NOISE_QUANTILE)
    covariance = NoiseCovariance(len(edges[0]))
    for i in np.flatnonzero((power > 0) & (power <= MAX_POWER * weakest)):
        covariance.add(edges[i])
    enough = covariance.samples >= CORRELATED * SAMPLES_PER_COIL * covariance.coils
    return covariance if enough else None


def _noise_differences(readout: NDArray[np.complex64]) -> list[NDArray[np.complex64]]:
    """Return finite differences at both edges of a readout, scaled to keep the noise variance.

    Nothing where they are too short, or hold signal rather than noise: its covariance would weight
    the coils by what they see.
    """
    count = readout.shape[1] // EDGE_SHARE
    # The highest order that leaves enough samples.
    order = min(DIFFERENCES, count // 2)
    if count - order < 2:
        return []
    gain = np.float32(math.comb(2 * order, order) ** -0.5)
    edges = [gain * np.diff(edge, order) for edge in (readout[:, :count], readout[:, -count:])]
    return edges if _are_noise(np.array(edges), order) else []


@np.errstate(over="ignore", invalid="ignore")  # of damaged samples: those are no noise
def _are_noise(edges: NDArray[np.complex64], order: int) -> bool:
    """Whether differences `[edge, coil, sample]` of this order are those of noise.

    Neighbouring differences of white noise are opposite to each other, those of signal less so.
    """
    neighbours = np.vdot(edges[..., :-1], edges[..., 1:]).real
    power = np.linalg.norm(edges[..., :-1]) * np.linalg.norm(edges[..., 1:])
    return bool(neighbours <= (MAX_EXCESS - order / (order + 1)) * power)

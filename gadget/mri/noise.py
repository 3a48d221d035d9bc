"""Receiver noise: its covariance between coils, whitening, and its level in measured k-space.

The variance of complex noise is E|n|^2 throughout, the sum over real and imaginary part. (Gadgetron
counts the variance of each part, so its whitened noise is stronger by the square root of two.)
"""

from __future__ import annotations

import logging

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import gammaincinv

from gadget.mri.kspace import KSpace

log = logging.getLogger(__name__)

SAMPLES_PER_COIL = 4
"""A covariance of fewer samples a coil says more about chance than about the coils."""
MAX_CONDITION = 1e6
EDGE_SHARE = 8
"""One in that many samples at each end of a readout counts as its edge."""
MAX_NEIGHBOUR_CORRELATION = 0.4
"""White noise has 0 between neighbouring samples; receiver filters raise that to about 0.25."""
PERIPHERY = 0.6
"""Points further out than this share of the way to the edge of k-space are its periphery."""
BLOCK = 16
QUANTILE = 0.1
OUTERMOST = 1024
POINT_QUANTILE = 0.03
"""Of the outermost points, one by one: between strong ones, single points can be weak."""


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
    is unknown, and nothing is scaled.

    Source: Kellman and McVeigh, Magn Reson Med 2005;54:1439, eq. 5.
    """
    if noise_dwell_us <= 0 or data_dwell_us <= 0:
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


def estimate_noise_std(kspace: KSpace) -> float:
    """Estimate the standard deviation of complex noise in one sample of one average.

    The noise is sought where signal is weakest: in the periphery of k-space, and, along readouts
    that are measured completely, beside the object. The power of short blocks there is pooled over
    coils; a low quantile of the blocks, corrected for the quantile that pure noise has (a gamma
    distribution), is hardly raised by the blocks that hold signal. Scattered points have weak ones
    among them where every block holds signal: the outermost are judged one by one, too. 0 where
    nothing is measured.
    """
    power = _mean_power(kspace.data) * kspace.weight
    usable = kspace.mask & (power > 0)
    if not usable.any():
        return 0.0
    coils = len(kspace.data)
    radius = _radius(kspace.weight.shape)
    outside = usable & (radius > min(PERIPHERY, float(np.quantile(radius[usable], 0.5))))
    levels = [_low_level(power[outside if outside.any() else usable], coils)]
    count = min(OUTERMOST, int(usable.sum()) // 2)
    if count >= 1 / POINT_QUANTILE:
        outermost = np.argsort(-radius[usable], kind="stable")[:count]
        levels.append(_low_level(power[usable][outermost], coils, 1, POINT_QUANTILE))
    complete = usable.all(axis=-1)
    if complete.any() and kspace.weight.shape[-1] >= 2 * BLOCK:
        lines = scipy.fft.ifft(kspace.data[:, complete], axis=-1, norm="ortho")
        beside = _mean_power(lines) * kspace.weight[complete]
        levels.append(_low_level(beside.ravel(), coils))
    return float(np.sqrt(min(levels)))


def _mean_power(samples: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Return the mean over coils, the first axis, of |samples|^2."""
    power: NDArray[np.float64] = np.mean(np.abs(samples) ** 2, axis=0, dtype=np.float64)
    return power


def _low_level(
    power: NDArray[np.float64], coils: int, size: int = BLOCK, quantile: float = QUANTILE
) -> float:
    """Return the noise power that the weakest blocks of `power`, a mean over coils, point to."""
    size = min(size, len(power))
    count = len(power) // size
    blocks = power[: count * size].reshape(count, size).mean(axis=1)
    expected = gammaincinv(size * coils, quantile) / (size * coils)
    return float(np.quantile(blocks, quantile) / expected)


def _radius(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return how far out every point lies: 0 in the centre, 1 at the nearest edge."""
    radius = np.zeros(shape)
    for axis, size in enumerate(shape):
        if size > 1:
            along = np.abs(np.arange(size) - size // 2) / (size / 2)
            radius = np.maximum(radius, np.expand_dims(along, [i for i in range(3) if i != axis]))
    return radius

"""Receiver noise level, estimated from measured k-space.

The variance of complex noise is E|n|^2, as in `gadget.mri.noise.whitening`.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import gammaincinv

from gadget.mri.kspace import KSpace

PERIPHERY = 0.6
"""Distance from the centre where the periphery of k-space begins, relative to its edge."""
BLOCK = 16
QUANTILE = 0.1
OUTERMOST = 1024
POINT_QUANTILE = 0.03
"""Of the outermost points, one by one: between strong ones, single points can be weak."""
POINTS_PER_COIL = 8
"""Fewest points for the eigenvalues of a covariance."""
MIN_EIGENVALUE = 1 / 16
"""Smallest eigenvalue relative to the power of the weakest points; lower ones are of coils without
signal and noise, or not whitened."""


def estimate_noise_std(kspace: KSpace) -> float:
    """Estimate the standard deviation of complex noise in one sample of one average.

    The noise is sought where signal is weakest: in the periphery of k-space, and, along readouts
    that are measured completely, beside the object. The power of short blocks there is pooled over
    coils; a low quantile of the blocks, corrected for the quantile that pure noise has (a gamma
    distribution), is hardly raised by the blocks that hold signal. Scattered points have weak ones
    among them where every block holds signal: the outermost are judged one by one, too. And of
    many coils, some combination sees hardly any signal anywhere. 0 where nothing is
    measured.
    """
    power = _mean_power(kspace.data) * kspace.weight
    measured = kspace.mask & (power > 0)
    if not measured.any():
        return 0.0
    coils = len(kspace.data)
    radius = _radius(kspace.weight.shape)
    outside = measured & (radius > min(PERIPHERY, float(np.quantile(radius[measured], 0.5))))
    outside = outside if outside.any() else measured
    levels = [_noise_power(power[outside], coils)]
    count = min(OUTERMOST, int(measured.sum()) // 2)
    if count >= 1 / POINT_QUANTILE:
        outermost = np.argsort(-radius[measured], kind="stable")[:count]
        levels.append(_noise_power(power[measured][outermost], coils, 1, POINT_QUANTILE))
    complete = measured.all(axis=-1)
    if complete.any() and kspace.weight.shape[-1] >= 2 * BLOCK:
        lines = scipy.fft.ifft(kspace.data[:, complete], axis=-1, norm="ortho")
        line_power = _mean_power(lines) * kspace.weight[complete]
        levels.append(_noise_power(line_power.ravel(), coils))
    level = min(levels)
    if int(outside.sum()) >= POINTS_PER_COIL * coils:
        powers = _combination_powers(kspace.data[:, outside] * np.sqrt(kspace.weight[outside]))
        level = min([level, *powers[powers > MIN_EIGENVALUE * level]])
    return float(np.sqrt(level))


def _mean_power(samples: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Return the mean over coils, the first axis, of |samples|^2."""
    power: NDArray[np.float64] = np.mean(np.abs(samples) ** 2, axis=0, dtype=np.float64)
    return power


def _noise_power(
    power: NDArray[np.float64], coils: int, size: int = BLOCK, quantile: float = QUANTILE
) -> float:
    """Estimate the noise power from the weakest blocks of `power`, a mean over coils."""
    size = min(size, len(power))
    count = len(power) // size
    blocks = power[: count * size].reshape(count, size).mean(axis=1)
    expected = gammaincinv(size * coils, quantile) / (size * coils)
    return float(np.quantile(blocks, quantile) / expected)


def _combination_powers(samples: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Return the power of the principal components over coils of samples `[coil, point]`.

    The smallest eigenvalue of a sample covariance is too small; these are corrected by what
    Marchenko and Pastur (Mat Sb 1967) say of white noise.
    """
    coils, points = samples.shape
    wide = samples.astype(np.complex128)
    values: NDArray[np.float64] = np.linalg.eigvalsh(wide @ wide.conj().T / points)
    return values / (1 - np.sqrt(coils / points)) ** 2


def _radius(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the distance of every point from the centre: 0 there, 1 at the nearest edge."""
    radius = np.zeros(shape)
    for axis, size in enumerate(shape):
        if size > 1:
            along = np.abs(np.arange(size) - size // 2) / (size / 2)
            radius = np.maximum(radius, np.expand_dims(along, [i for i in range(3) if i != axis]))
    return radius

"""Removal of spikes: single samples that a discharge in the scanner room has hit.

A spike is a plane wave in the image, also beyond the field of view, where there is little but noise
as long as the readout oversampling has not been removed. What lies there tells when a spike came
and how large it is, so that what it adds to the image can be subtracted.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

MIN_SHARE = 1 / 3
"""Least share of the whole field of view that lies beyond: from less, what a wave adds within is a
guess, and an object that fills all of it looks like a wave."""
MIN_BEYOND = 32
"""Fewest points beyond the field of view that tell a spike from signal."""
EDGE = 1 / 16
"""Share of the whole field of view, at both ends together, that receivers attenuate."""
QUANTILE, EXCESS = 0.25, 1.2
"""A line is searched from so much energy beyond the field of view on, relative to a quantile of the
lines."""
MIN_LINES = 4
"""Fewest lines that have a quantile without spikes; of fewer each is searched."""
CONTRAST = 100.0
"""How far the power of a spike stands out of all else that is seen beyond the field of view. Where
an object reaches beyond it, its signal falls more slowly from sample to sample."""
NEIGHBOURS = np.arange(-4, 5)
"""Samples around a spike that are no larger than it; near the echo, signal is not told from it."""
WIDEST = 10
"""Most samples that have a tenth of the power of a spike, or more."""
TIMES = 4
"""Times per sample at which spikes are looked for."""
ZOOMS, STEPS = 5, 9
"""How often the best of so many times between neighbours is taken."""


@np.errstate(over="ignore", invalid="ignore")  # of damaged samples: those are left as they are
def remove_spikes(image: NDArray[np.complex64], field_of_view: int) -> int:
    """Subtract spikes in k-space, at most one a line, from an image; return how many they were.

    Parameters
    ----------
    image
        Orthonormal inverse transform of complete lines along kx `[line, coil, x]`, the centre
        first; changed in place.
    field_of_view
        Points of x around the centre that will be left, when the oversampling is removed.
    """
    width = image.shape[-1]
    positions = np.fft.fftfreq(width, 1 / width)
    edge = width * (1 - EDGE) / 2
    beyond = np.flatnonzero((abs(positions) > field_of_view / 2) & (abs(positions) < edge))
    if len(beyond) < max(MIN_BEYOND, MIN_SHARE * width):
        return 0
    seen = image[..., beyond[0] : beyond[-1] + 1].view(np.float32)
    energy = np.einsum("lcx,lcx->l", seen, seen)
    intact = np.flatnonzero(np.isfinite(energy) & (energy > 0))
    rank = int(QUANTILE * len(intact))
    usual = np.partition(energy[intact], rank)[rank] if len(intact) >= MIN_LINES else 0.0
    searched = [line for line in intact if energy[line] > EXCESS * usual]
    return sum(_clean(image[line], beyond, positions) for line in searched)


def _clean(
    image: NDArray[np.complex64], beyond: NDArray[np.intp], positions: NDArray[np.float64]
) -> bool:
    """Subtract a spike from a line `[coil, x]`, unless there is none or it may be signal."""
    width = len(positions)
    seen = image[:, beyond]
    most = _most_of_noise(len(image))
    power, noise = _spectrum(seen, beyond, width)
    wide = np.count_nonzero(power > power.max() / 10) > WIDEST * TIMES
    if wide or power.max() < most:
        return False
    time = _refined(float(np.argmax(power)) / TIMES, seen / noise**0.5, positions[beyond], width)
    (wave,) = _waves(time, positions, width)
    share = len(beyond) / width
    spike = seen @ wave[beyond].conj() / share
    rest, noise = _spectrum(seen - np.outer(spike, wave[beyond]), beyond, width)
    strength = (np.abs(spike * share) ** 2 / noise[:, 0]).sum()
    if strength < CONTRAST * max(rest.max(), most):
        return False
    cleaned = image - np.outer(spike, wave)
    around = cleaned @ _waves(time + NEIGHBOURS, positions, width).conj().T
    # Of an object that reaches beyond the field of view, more of the signal comes from within.
    if np.linalg.norm(around, axis=0).max() > np.linalg.norm(spike):
        return False
    image[:] = cleaned
    return True


def _spectrum(
    seen: NDArray[np.complex64], beyond: NDArray[np.intp], width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the power of waves in what is seen `[coil, x]`, and the noise of each coil.

    The power `[time]`, `TIMES` per sample, is summed over the coils in units of their noise.
    """
    spectrum = np.zeros((len(seen), TIMES * width), np.complex64)
    # Of `TIMES` fields of view, the outer ones empty, in the order of a Fourier transform.
    spectrum[:, np.where(beyond < width / 2, beyond, beyond - width)] = seen
    spectrum = scipy.fft.fft(spectrum, axis=-1, overwrite_x=True)
    power = np.abs(spectrum) ** 2 / width
    # The square of noise has an exponential distribution; its median is that of few samples.
    noise = np.median(power, axis=1, keepdims=True) / np.log(2)
    noise = np.maximum(noise, np.finfo(np.float32).tiny)
    return (power / noise).sum(axis=0), noise


def _most_of_noise(coils: int) -> float:
    """Return a power that noise alone has in no scan."""
    return coils + 10 * coils**0.5 + 30


def _refined(
    time: float, seen: NDArray[np.inexact], positions: NDArray[np.float64], width: int
) -> float:
    """Return when a spike came, between the neighbours of the best time so far."""
    reach = 1 / TIMES
    for _ in range(ZOOMS):
        times = time + np.linspace(-reach, reach, STEPS)
        power = np.linalg.norm(seen @ _waves(times, positions, width).conj().T, axis=0)
        time = float(times[np.argmax(power)])
        reach *= 2 / (STEPS - 1)
    return time


def _waves(
    times: float | NDArray[np.floating], positions: NDArray[np.float64], width: int
) -> NDArray[np.complex128]:
    """Return the images `[spike, x]` of spikes of 1."""
    phase = np.outer(times, positions) * (2 * np.pi / width)
    return np.asarray(np.exp(1j * phase) / width**0.5)

"""Removal of spikes: moments at which a discharge in the scanner room has hit a readout.

A spike is a plane wave in the image, also beyond the field of view, where there is little but noise
as long as the readout oversampling has not been removed. What lies there tells when a spike came
and how large it is, so that what it adds to the image can be subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

MIN_BEYOND = 32
"""Fewest points beyond the field of view that tell of spikes."""
MIN_SHARE = 1 / 3
"""Least share of the whole field of view that these points must be: from fewer, what a wave
adds within the field of view is a guess, and an object that fills all of them looks like a wave."""
EDGE = 1 / 16
"""Share of the readout's whole field of view, at both ends together, that receivers attenuate."""
EXCESS = 1.2
"""Energy beyond the field of view, relative to the least of the lines, from which on a line is
searched. A spike that adds less is not seen in the image."""
MIN_LINES = 4
"""Fewest lines of which one is taken to have no spike; of fewer each is searched."""
CONTRAST = 100.0
"""How far the power of a spike stands out of all else that is seen beyond the field of view. Where
an object reaches beyond it, its signal falls more slowly from sample to sample."""
MAX_SPIKES = 2
"""Most spikes of a line; more, and they are signal."""
MIN_DISTANCE = 2.0
"""Least distance of two spikes, in units of what the part beyond the field of view resolves. Closer
waves fit any narrow object there, and a jump at the ends of a readout."""
TIMES = 4
"""Times per sample at which spikes are looked for."""
ZOOMS, STEPS = 5, 9
"""How often the best of so many times between neighbours is taken."""


@np.errstate(over="ignore", invalid="ignore")  # of damaged samples: those are left as they are
def remove_spikes(image: NDArray[np.complex64], field_of_view: int) -> int:
    """Subtract spikes in k-space from an image, and return how many they were.

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
    usual = np.min(energy[intact]) if len(intact) >= MIN_LINES else 0.0
    searched = [line for line in intact if energy[line] > EXCESS * usual]
    return sum(_clean(image[line], beyond, positions) for line in searched)


def _clean(
    image: NDArray[np.complex64], beyond: NDArray[np.intp], positions: NDArray[np.float64]
) -> int:
    """Subtract the spikes of a line `[coil, x]`, unless they may be signal."""
    times, spikes = _find(image[:, beyond], positions[beyond], len(positions))
    if not times:
        return 0
    waves = _waves(times, positions, len(positions))
    added = spikes @ waves
    # Of an object that reaches beyond the field of view, more of the signal comes from within.
    true = (image - added) @ waves.conj().T
    if (np.linalg.norm(true, axis=0) > np.linalg.norm(spikes, axis=0)).any():
        return 0
    image -= added
    return len(times)


def _find(
    seen: NDArray[np.complex64], positions: NDArray[np.float64], width: int
) -> tuple[list[float], NDArray[np.complex128]]:
    """Return when spikes came [samples] and their values `[coil, spike]`; none if not clear.

    Source: orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993,
    doi:10.1109/ACSSC.1993.342465), of plane waves at `positions` in each coil `[coil, x]`.
    """
    coils = len(seen)
    most = coils + 10 * coils**0.5 + 30  # of noise alone, in any scan
    times: list[float] = []
    spikes, residual = np.zeros((coils, 0), np.complex128), seen
    while True:
        spectrum = np.zeros((coils, TIMES * width), np.complex64)
        spectrum[:, positions.astype(int)] = residual * TIMES**0.5
        spectrum = scipy.fft.fft(spectrum, axis=-1, norm="ortho", overwrite_x=True)
        # The square of noise has an exponential distribution; its median is that of few samples.
        noise = np.median(np.abs(spectrum) ** 2, axis=1, keepdims=True) / np.log(2)
        noise = np.maximum(noise, np.finfo(np.float32).tiny)
        power = (np.abs(spectrum) ** 2 / noise).sum(axis=0)
        seen_share = len(positions) / width
        strongest = (np.abs(spikes * seen_share) ** 2 / noise).sum(axis=0).max(initial=0)
        if strongest > CONTRAST * max(power.max(), most):
            return times, spikes
        if len(times) == MAX_SPIKES or power.max() < most:
            return [], spikes
        time = _refined(np.argmax(power) / TIMES, residual / noise**0.5, positions, width)
        apart = [abs((time - other + width / 2) % width - width / 2) for other in times]
        if min(apart, default=width) < MIN_DISTANCE * width / len(positions):
            return [], spikes
        times.append(time)
        waves = _waves(times, positions, width)
        spikes = np.linalg.lstsq(waves.T, seen.T, rcond=None)[0].T
        residual = seen - spikes @ waves


def _refined(
    time: float, seen: NDArray[np.complex64], positions: NDArray[np.float64], width: int
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
    times: Sequence[float] | NDArray[np.float64], positions: NDArray[np.float64], width: int
) -> NDArray[np.complex128]:
    """Return the images `[spike, x]` of spikes of 1."""
    phase = np.outer(times, positions) * (2 * np.pi / width)
    return np.asarray(np.exp(1j * phase) / width**0.5)

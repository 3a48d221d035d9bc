"""Removal of readout oversampling."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gadget.mrd.readouts.spikes import remove_spikes

EDGE_SAMPLES = 2
"""Cropped samples next to unmeasured ones that count as unmeasured: interpolation mixes them."""


@np.errstate(over="ignore", invalid="ignore")  # of damaged samples: that shows in the image
def remove_oversampling(
    samples: NDArray[np.complex64], weight: NDArray[np.float32], size: int
) -> tuple[NDArray[np.complex64], NDArray[np.float32], int]:
    """Crop the field of view along the readout to its centre, and remove spikes.

    Both transforms are orthonormal: the variance of white noise stays what it was. Also returned is
    how many samples were spikes; without oversampling none is known.

    Parameters
    ----------
    samples
        Lines `[line, coil, kx]`, overwritten.
    weight
        Averages `[line, kx]`.
    size
        Samples that are left.
    """
    width = samples.shape[-1]
    if size == width:
        return samples, weight, 0
    # Of an even number of samples, where k-space has its origin is a sign in the image, which the
    # way back undoes.
    even = width % 2 == size % 2 == 0
    if not even:
        samples = np.fft.ifftshift(samples, axes=-1)
    image = scipy.fft.ifft(samples, axis=-1, norm="ortho", overwrite_x=True)
    left = size // 2
    # Where samples are missing, the object itself is seen beyond the field of view.
    spikes = remove_spikes(image, size) if weight.all() else 0
    image = np.concatenate([image[..., : size - left], image[..., width - left :]], axis=-1)
    cropped = scipy.fft.fft(image, axis=-1, norm="ortho", overwrite_x=True)
    if not even:
        cropped = np.fft.fftshift(cropped, axes=-1)
    if weight.min() == weight.max():
        return cropped, weight[:, :size], spikes
    kept = _crop_weight(weight, size)
    if not kept.all():
        cropped *= (kept > 0)[:, None]
    return cropped, kept, spikes


def _crop_weight(weight: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resample averages `[line, kx]` to a coarser kx, 0 next to unmeasured samples."""
    width = weight.shape[-1]
    ratio = width / size
    reach = math.ceil(EDGE_SAMPLES * ratio)
    padded = np.pad(weight, ((0, 0), (reach, reach)), mode="edge")
    lowest = sliding_window_view(padded, 2 * reach + 1, axis=-1).min(axis=-1)
    at = width // 2 + np.rint((np.arange(size) - size // 2) * ratio).astype(int)
    resampled: NDArray[np.float32] = lowest[:, np.clip(at, 0, width - 1)]
    return resampled

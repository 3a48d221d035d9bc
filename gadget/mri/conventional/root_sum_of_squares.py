"""Root sum of squares of the coils: the image that needs nothing but a Fourier transform."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from gadget.mri.kspace import KSpace


def root_sum_of_squares(kspace: KSpace) -> NDArray[np.float32]:
    """Return the magnitude `[z, y, x]` of the inverse transform, zeros where nothing was measured.

    Source: Roemer et al., The NMR phased array, Magn Reson Med 1990;16:192.
    """
    power = np.zeros(kspace.weight.shape, np.float32)
    # An axis of one sample would cost as much as any other.
    axes = [axis for axis in range(power.ndim) if power.shape[axis] > 1]
    # One coil at a time fits in the cache. Where k-space has its origin is in the phase only.
    for coil in kspace.data:
        image = scipy.fft.ifftn(coil, axes=axes, norm="ortho")
        power += image.real**2 + image.imag**2
    return np.fft.fftshift(np.sqrt(power))

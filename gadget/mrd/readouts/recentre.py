"""Correct the centre of readouts that Gadgetron's `RemoveROOversamplingGadget` has cropped.

The gadget takes the middle of the image by whole pixels, and the middle of a readout for the centre
of k-space, in whatever direction it was measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gadget.mri.operators.fourier import fftc, ifftc


def recentred(samples: NDArray[np.complex64], full: int, *, reverse: bool) -> NDArray[np.complex64]:
    """Return readouts with the image origin at the central pixel and k = 0 at the central sample.

    An odd number of pixels out of an even one begins a pixel too early. Of a reversed readout of
    even length k = 0 lies one sample before the middle, which is part of a sample after cropping:
    forward and reversed lines of an image would not match.

    Parameters
    ----------
    samples
        Whole cropped readouts `[coil, kx]`, in the order they were measured.
    full
        Samples before the oversampling was removed.
    reverse
        Whether they were measured backwards.
    """
    size = samples.shape[-1]
    at = np.arange(size) - size // 2
    if full % 2 == 0 and size % 2:
        samples = samples * np.exp(2j * np.pi * at / size).astype(np.complex64)
    # Turned round, sample `size - 1 - size // 2` comes to the middle.
    distance = (size % 2 - 1) + (size / full if full % 2 == 0 else 0)
    if reverse and distance:
        image = ifftc(samples, (-1,)) * np.exp(2j * np.pi * distance * at / size)
        samples = fftc(image, (-1,)).astype(np.complex64)
    return samples

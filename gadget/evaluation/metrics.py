"""Image quality against a reference, as the fastMRI challenge counts it.

Zbontar et al., fastMRI: an open dataset and benchmarks for accelerated MRI, 2018: both measures
take the maximum of the whole reference volume as the data range.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Volume: TypeAlias = NDArray[np.floating[Any]]


def psnr(reference: Volume, image: Volume) -> float:
    """Return the peak signal-to-noise ratio [dB] of magnitudes `[slice, y, x]`."""
    peak = float(reference.max())
    return float(peak_signal_noise_ratio(reference, image, data_range=peak))  # type: ignore[no-untyped-call]


def ssim(reference: Volume, image: Volume) -> float:
    """Return the structural similarity of magnitudes `[slice, y, x]`, the mean over slices."""
    peak = float(reference.max())
    values = [
        structural_similarity(one, other, data_range=peak)  # type: ignore[no-untyped-call]
        for one, other in zip(reference, image, strict=True)
    ]
    return float(np.mean(values))


def matched_scale(reference: Volume, image: Volume) -> float:
    """Return the factor that brings `image` closest to `reference` in the least-squares sense."""
    power = float(np.vdot(image, image))
    return float(np.vdot(image, reference)) / power if power > 0 else 1.0

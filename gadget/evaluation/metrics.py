"""Image quality against a reference.

PSNR, SSIM and NMSE as the fastMRI challenge counts them (Zbontar et al., fastMRI: an open dataset
and benchmarks for accelerated MRI, 2018): the maximum of the reference is the data range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_laplace
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Images: TypeAlias = NDArray[np.floating[Any]]

SSIM_WINDOW = 7
"""Edge of the window that SSIM compares [pixels]."""
EDGE_SIGMA, EDGE_RADIUS = 1.5, 7
"""Of the Laplacian of Gaussian in HFEN [pixels]."""


@dataclass(frozen=True)
class Scores:
    """Quality of an image."""

    psnr: float
    """Peak signal-to-noise ratio [dB]."""
    ssim: float
    """Structural similarity."""
    nmse: float
    """Normalised mean squared error."""
    hfen: float
    """High-frequency error norm."""


def scores(reference: Images, image: Images) -> Scores:
    """Return all measures of one magnitude image `[y, x]`."""
    one, other = reference[None], image[None]
    return Scores(psnr(one, other), ssim(one, other), nmse(one, other), hfen(reference, image))


def psnr(reference: Images, image: Images) -> float:
    """Return the peak signal-to-noise ratio [dB] of magnitudes `[slice, y, x]`."""
    peak = float(reference.max())
    one, other = _float64(reference), _float64(image)
    return float(peak_signal_noise_ratio(one, other, data_range=peak))  # type: ignore[no-untyped-call]


def ssim(reference: Images, image: Images) -> float:
    """Return the structural similarity of magnitudes `[slice, y, x]`, the mean over slices."""
    peak = float(reference.max())
    values = [
        structural_similarity(  # type: ignore[no-untyped-call]
            _float64(one), _float64(other), win_size=SSIM_WINDOW, data_range=peak
        )
        for one, other in zip(reference, image, strict=True)
    ]
    return float(np.mean(values))


def nmse(reference: Images, image: Images) -> float:
    """Return the squared error of magnitudes `[slice, y, x]`, relative to the reference's power."""
    one, other = _float64(reference), _float64(image)
    return float(np.sum((one - other) ** 2) / np.sum(one**2))


def hfen(reference: Images, image: Images) -> float:
    """Return the relative error of the edges of a magnitude image `[y, x]`.

    Ravishankar and Bresler, MR image reconstruction from highly undersampled k-space data by
    dictionary learning, IEEE Trans Med Imaging 2011, doi:10.1109/TMI.2010.2090538: a Laplacian of
    Gaussian of 15 x 15 pixels and a standard deviation of 1.5 pixels finds the edges.
    """

    def edges(one: Images) -> Images:
        return np.asarray(gaussian_laplace(_float64(one), EDGE_SIGMA, radius=EDGE_RADIUS))

    return float(np.linalg.norm(edges(image - reference)) / np.linalg.norm(edges(reference)))


def matched_scale(reference: Images, image: Images) -> float:
    """Return the factor that brings `image` closest to `reference` in the least-squares sense."""
    power = float(np.vdot(image, image))
    return float(np.vdot(image, reference)) / power if power > 0 else 1.0


def _float64(image: Images) -> NDArray[np.float64]:
    """Return an image in double precision, which holds products of squares at any scale."""
    return image.astype(np.float64)

"""Calibration of predicted uncertainty: coverage and reliability curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mri.intensity_scale import FOREGROUND, image_scale

Image = NDArray[np.floating]

BLOCK = 8
"""Edge of a region [pixels]."""
MIN_BLOCKS = 3
BINS = 12
"""Bins of a reliability curve."""


@dataclass(frozen=True)
class UncertaintyScores:
    """How well a predicted standard deviation matches the error, within the object."""

    within_one_sigma: float
    """Share of pixels whose error is below the standard deviation; 0.68 if errors are normal."""
    within_two_sigma: float
    """Share below twice that; 0.95 if errors are normal."""
    sigma_correlation: float
    """Of error and prediction, root mean squares over regions of 8 x 8 pixels."""


def uncertainty_scores(truth: Image, image: Image, std: Image) -> UncertaintyScores:
    """Compare a predicted standard deviation `[y, x]` with the error of the image."""
    inside = foreground(truth)
    error = np.abs(image - truth)
    predicted, observed = block_rms(std, inside), block_rms(error, inside)
    varied = len(observed) >= MIN_BLOCKS and predicted.std() > 0 and observed.std() > 0
    return UncertaintyScores(
        within_one_sigma=float(np.mean(error[inside] <= std[inside])),
        within_two_sigma=float(np.mean(error[inside] <= 2 * std[inside])),
        sigma_correlation=float(np.corrcoef(predicted, observed)[0, 1]) if varied else float("nan"),
    )


@dataclass(frozen=True)
class Reliability:
    """Reliability curve: error against predicted standard deviation, in bins of pixels."""

    predicted: NDArray[np.float64]
    """Root mean square of each bin, relative to the truth's maximum."""
    observed: NDArray[np.float64]
    """Root mean square error of each bin, relative to the truth's maximum."""


def reliability(truth: Image, image: Image, std: Image) -> Reliability:
    """Bin the object's pixels by their predicted standard deviation, equally many in each."""
    inside = foreground(truth)
    order = np.argsort(std[inside])
    error = np.abs(image - truth)[inside][order] / truth.max()
    predicted = std[inside][order] / truth.max()

    def binned(values: Image) -> NDArray[np.float64]:
        bins = np.array_split(values.astype(np.float64), BINS)
        return np.sqrt([np.mean(group**2) for group in bins])

    return Reliability(binned(predicted), binned(error))


def foreground(truth: Image) -> NDArray[np.bool_]:
    """Return the pixels `[y, x]` of the object."""
    return np.asarray(truth > FOREGROUND * image_scale(truth))


def block_rms(image: Image, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the root mean square of the object in each block that it mostly fills."""
    height, width = (n // BLOCK * BLOCK for n in image.shape)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        cut = values[:height, :width].astype(np.float64)
        blocks = cut.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
        return np.asarray(blocks.mean(axis=(1, 3)))

    filled = mean(inside)
    most = filled > 0.5
    return np.sqrt(mean(image**2 * inside)[most] / filled[most])

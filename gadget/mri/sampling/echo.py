"""The echo: the strongest sample of k-space, which need not lie where k = 0 was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mri.sampling.centre import centre_extent

TOLERANCE = 4
"""Distance of the echo from the centre that an object's own phase may cause [points]."""
ENOUGH = 32
"""Complete lines around the centre that are as good as more."""


def echo_offset(data: NDArray[np.complex64], mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how far the echo lies from the centre, along ky and kx [points].

    A readout whose centre the header does not tell, or a strong gradient of the phase, moves it.
    Whole lines are compared: a spike is one sample. 0 along an axis whose central line was not
    measured, for the echo may have been there, and where too few complete lines surround it.

    Parameters
    ----------
    data
        Centred k-space `[coil, ky, kx]`.
    mask
        Measured points `[ky, kx]`.
    """
    magnitude = np.abs(data).sum(axis=0)
    offset = [0, 0]
    for axis in (0, 1):
        centre = mask.shape[axis] // 2
        along = int(magnitude.sum(axis=1 - axis).argmax()) - centre
        if abs(along) <= TOLERANCE or not mask.take(centre, axis).any():
            continue
        lines = centre_extent(np.roll(mask, -along, axis))[axis]
        if lines >= min(ENOUGH, centre_extent(mask)[axis]):
            offset[axis] = along
    return offset[0], offset[1]


def echo_phase(shape: tuple[int, int], offset: tuple[int, int]) -> NDArray[np.complex64]:
    """Return the phase `[y, x]` that an image has with its echo there, and without it has not."""
    y, x = (
        np.exp(2j * np.pi * along * (np.arange(n) - n // 2) / n)
        for n, along in zip(shape, offset, strict=True)
    )
    phase: NDArray[Any] = y[:, None] * x
    return phase.astype(np.complex64)

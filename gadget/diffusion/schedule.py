"""Ranges and sequences of noise levels."""

from __future__ import annotations

import numpy as np


def check_range(sigma_min: float, sigma_max: float) -> None:
    """Check that a range of noise levels is one.

    Raises
    ------
    ValueError
        The lowest level is not below the highest.
    """
    if sigma_min >= sigma_max:
        raise ValueError(f"sigma_min must be below sigma_max, got {sigma_min} and {sigma_max}")


def power_schedule(start: float, end: float, steps: int, rho: float) -> list[float]:
    """Return `steps` noise levels from `start` down to `end`.

    ``sigma_i^(1/rho)`` falls linearly (Karras et al. 2022, eq. 5); a large `rho` approaches the
    geometric sequence of the variance-exploding diffusion.
    """
    ramp = np.linspace(0, 1, steps, dtype=np.float64)
    root = start ** (1 / rho) + ramp * (end ** (1 / rho) - start ** (1 / rho))
    return [float(sigma) for sigma in root**rho]


def geometric_schedule(start: float, end: float, steps: int) -> list[float]:
    """Return `steps` noise levels with a constant ratio (Song et al. 2021, variance exploding)."""
    return [float(sigma) for sigma in np.geomspace(start, end, steps)]

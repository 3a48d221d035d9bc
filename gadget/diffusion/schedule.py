"""Sequences of noise levels."""

from __future__ import annotations

import numpy as np


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

"""Sampling patterns: which phase-encoding lines a scan measures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError


def random_lines(
    lines: int, acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw a 1D random pattern `[line]` with a fully sampled centre.

    Exactly ``lines / acceleration`` lines are measured, as in the fastMRI challenge's random masks
    on average (Zbontar et al., fastMRI: an open dataset and benchmarks, 2018).

    Raises
    ------
    ConfigError
        The centre alone holds more lines than the acceleration allows.
    """
    measured = round(lines / acceleration)
    mask = _centre(lines, centre_fraction)
    rest = measured - int(mask.sum())
    if rest < 0:
        raise ConfigError(
            f"An acceleration of {acceleration:g} leaves {measured} of {lines} lines, fewer than "
            f"the {int(mask.sum())} of the centre; lower the acceleration or the centre fraction."
        )
    mask[rng.choice(np.flatnonzero(~mask), rest, replace=False)] = True
    return mask


def uniform_lines(
    lines: int, acceleration: int, centre_fraction: float, offset: int = 0
) -> NDArray[np.bool_]:
    """Return every `acceleration`-th line `[line]` from `offset` on, and a fully sampled centre."""
    mask = _centre(lines, centre_fraction)
    mask[offset::acceleration] = True
    return mask


def _centre(lines: int, fraction: float) -> NDArray[np.bool_]:
    width = round(lines * fraction)
    mask = np.zeros(lines, bool)
    start = lines // 2 - width // 2
    mask[start : start + width] = True
    return mask

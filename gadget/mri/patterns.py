"""Sampling patterns: which points of k-space a scan measures."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError

Mask: TypeAlias = NDArray[np.bool_]

GAUSSIAN_WIDTH = 15 / 128
"""Standard deviation of the Gaussian patterns, in matrix sizes (code of Chung and Ye 2022)."""


def random_lines(
    lines: int, acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> Mask:
    """Draw a 1D random pattern `[line]` with a fully sampled centre.

    Exactly ``lines / acceleration`` lines are measured, as in the fastMRI challenge's random masks
    on average (Zbontar et al., fastMRI: an open dataset and benchmarks, 2018).

    Raises
    ------
    ConfigError
        The centre alone holds more lines than the acceleration allows.
    """
    return _drawn(_centre((lines,), centre_fraction), None, acceleration, rng)


def uniform_lines(lines: int, acceleration: float, centre_fraction: float, offset: int = 0) -> Mask:
    """Return every `acceleration`-th line `[line]` from `offset` on, and a fully sampled centre."""
    mask = _centre((lines,), centre_fraction)
    mask[np.arange(offset, lines, acceleration).astype(int)] = True
    return mask


def gaussian_lines(
    lines: int, acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> Mask:
    """Draw a 1D pattern `[line]` whose density falls off as a Gaussian from the centre.

    Raises
    ------
    ConfigError
        The centre alone holds more lines than the acceleration allows.
    """
    return _drawn(_centre((lines,), centre_fraction), _gaussian((lines,)), acceleration, rng)


def gaussian_points(
    shape: tuple[int, int], acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> Mask:
    """Draw a 2D pattern `[ky, kx]` whose density falls off as a Gaussian from the centre.

    Raises
    ------
    ConfigError
        The centre alone holds more points than the acceleration allows.
    """
    return _drawn(_centre(shape, centre_fraction), _gaussian(shape), acceleration, rng)


def poisson_points(
    shape: tuple[int, int], acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> Mask:
    """Draw a variable-density Poisson-disk pattern `[ky, kx]` without corners, with sigpy.

    Raises
    ------
    ConfigError
        sigpy is missing, or the acceleration cannot be reached.
    """
    try:
        from sigpy.mri import poisson
    except ImportError as error:
        raise ConfigError(
            "Poisson-disk patterns need sigpy: pip install 'score-gadget[evaluate]'."
        ) from error
    calibration = tuple(round(n * centre_fraction) for n in shape)
    seed = int(rng.integers(2**31))
    try:
        mask: Mask = poisson(shape, acceleration, calibration, dtype=bool, seed=seed)
    except ValueError as error:
        raise ConfigError(
            f"There is no Poisson-disk pattern with an acceleration of {acceleration:g} and a "
            f"centre of {centre_fraction:g} on {shape[0]} x {shape[1]} points: {error}."
        ) from error
    return mask


def _drawn(
    centre: Mask,
    density: NDArray[np.float64] | None,
    acceleration: float,
    rng: np.random.Generator,
) -> Mask:
    """Add points to a centre until there are as many as the acceleration says.

    Every free point is as likely as any other, or as the density says.
    """
    measured = round(centre.size / acceleration)
    rest = measured - int(centre.sum())
    if rest < 0:
        what = "lines" if centre.ndim == 1 else "points"
        raise ConfigError(
            f"An acceleration of {acceleration:g} leaves {measured} of {centre.size} {what}, fewer "
            f"than the {int(centre.sum())} of the centre; lower the acceleration or the centre "
            "fraction."
        )
    mask = centre.ravel().copy()
    free = np.flatnonzero(~mask)
    chance = None
    if density is not None:
        chance = density.ravel()[free] / density.ravel()[free].sum()
    mask[rng.choice(free, rest, replace=False, p=chance)] = True
    return mask.reshape(centre.shape)


def _centre(shape: tuple[int, ...], fraction: float) -> Mask:
    mask = np.zeros(shape, bool)
    widths = [round(n * fraction) for n in shape]
    starts = [n // 2 - width // 2 for n, width in zip(shape, widths, strict=True)]
    mask[tuple(slice(a, a + width) for a, width in zip(starts, widths, strict=True))] = True
    return mask


def _gaussian(shape: tuple[int, ...]) -> NDArray[np.float64]:
    axes = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    return np.asarray(np.exp(-sum(axis**2 for axis in axes) / (2 * GAUSSIAN_WIDTH**2)))

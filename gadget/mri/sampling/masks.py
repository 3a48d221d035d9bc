"""Sampling masks: 1D and 2D, uniform, random, Gaussian, Poisson-disk."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError
from gadget.extras import optional_import
from gadget.mri.sampling.centre import central

Mask: TypeAlias = NDArray[np.bool_]

GAUSSIAN_WIDTHS = {1: 15 / 128, 2: math.sqrt(1.5 / 128)}
"""Standard deviation of the 1D and the 2D Gaussian pattern, in matrix sizes (code of Chung and Ye
2022)."""
POISSON_TOLERANCE, POISSON_MAX_ERROR = 0.1, 0.05
"""Error of a Poisson-disk pattern's acceleration that ends the search, and the share of the
acceleration that is accepted where the search finds nothing better."""
SEARCH_STEPS = 40
"""Halvings of the slope of a Poisson-disk pattern's density after which masks are the same."""


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
    return _draw_mask(_centre((lines,), centre_fraction), None, acceleration, rng)


def uniform_lines(lines: int, acceleration: float, centre_fraction: float) -> Mask:
    """Return every `acceleration`-th line `[line]`, from the first on, and a sampled centre."""
    mask = _centre((lines,), centre_fraction)
    mask[np.arange(0, lines, acceleration).astype(int)] = True
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
    return _draw_mask(_centre((lines,), centre_fraction), _gaussian((lines,)), acceleration, rng)


def gaussian_points(
    shape: tuple[int, int], acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> Mask:
    """Draw a 2D pattern `[ky, kx]` whose density falls off as a Gaussian from the centre.

    Raises
    ------
    ConfigError
        The centre alone holds more points than the acceleration allows.
    """
    return _draw_mask(_centre(shape, centre_fraction), _gaussian(shape), acceleration, rng)


def poisson_points(
    shape: tuple[int, int], acceleration: float, centre_fraction: float, rng: np.random.Generator
) -> Mask:
    """Draw a variable-density Poisson-disk pattern `[ky, kx]` without corners, with sigpy.

    Small matrices have few accelerations to offer: the nearest one that is found counts.

    Raises
    ------
    ConfigError
        sigpy is missing, or the acceleration cannot be reached within 5%.
    """
    with optional_import("Poisson-disk patterns need", "evaluate"):
        from sigpy.mri import poisson
    calibration = tuple(round(n * centre_fraction) for n in shape)
    seed = int(rng.integers(2**31))

    def search(tolerance: float | _Tolerance) -> Mask:
        return np.asarray(poisson(shape, acceleration, calibration, bool, seed=seed, tol=tolerance))

    tolerance = _Tolerance(POISSON_TOLERANCE)
    try:
        return search(tolerance)
    except ValueError as error:
        if tolerance.nearest > POISSON_MAX_ERROR * acceleration:
            raise ConfigError(
                f"There is no Poisson-disk pattern with an acceleration of {acceleration:g} and a "
                f"centre of {centre_fraction:g} on {shape[0]} x {shape[1]} points: {error}."
            ) from error
    # The same search comes by the same masks, and now stops at the best of them.
    return search(tolerance.nearest * (1 + 1e-9))


class _Tolerance:
    """Tolerance of the acceleration for sigpy's search, which it also ends.

    sigpy halves an interval until it has a mask that is near enough, and where there is none, often
    without end. This tolerance counts the masks, ends the search, and knows the nearest.
    """

    __array_ufunc__ = None  # numpy's numbers leave the comparison to this class

    def __init__(self, tolerance: float) -> None:
        self.nearest = math.inf
        self._tolerance = tolerance
        self._masks = 0

    def __gt__(self, distance: float) -> bool:
        self.nearest = min(self.nearest, float(distance))
        self._masks += 1
        if self._masks > SEARCH_STEPS:
            raise ValueError("no density of its points gives it")
        return distance < self._tolerance

    def __le__(self, distance: float) -> bool:
        return distance >= self._tolerance


def _draw_mask(
    centre: Mask,
    density: NDArray[np.float64] | None,
    acceleration: float,
    rng: np.random.Generator,
) -> Mask:
    """Draw points beside a sampled centre until the acceleration is reached.

    Uniformly, or with the given density.
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
    probability = None
    # Where nothing is left to draw there are no chances, either.
    if density is not None and rest:
        probability = density.ravel()[free] / density.ravel()[free].sum()
    mask[rng.choice(free, rest, replace=False, p=probability)] = True
    return mask.reshape(centre.shape)


def _centre(shape: tuple[int, ...], fraction: float) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(central(n, round(n * fraction)) for n in shape)] = True
    return mask


def _gaussian(shape: tuple[int, ...]) -> NDArray[np.float64]:
    axes = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    width = GAUSSIAN_WIDTHS[len(shape)]
    return np.asarray(np.exp(-sum(axis**2 for axis in axes) / (2 * width**2)))

"""Sampling patterns: which points of k-space a scan measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError

Mask: TypeAlias = NDArray[np.bool_]

GAUSSIAN_WIDTH = 15 / 128
"""Standard deviation of the Gaussian patterns, in matrix sizes (code of Chung and Ye 2022)."""


@dataclass(frozen=True)
class Pattern:
    """A kind of sampling pattern; every scan draws its own mask of that kind."""

    name: str
    """As it is spelt: ``random1d:4:0.08``, or the path of a mask."""
    label: str
    """In words."""
    draw: Callable[[tuple[int, int], np.random.Generator], Mask]
    """Return a mask `[ky, kx]` for a matrix (ky, kx)."""


def parse_pattern(text: str) -> Pattern:
    """Read the spelling of a pattern: ``KIND:ACCELERATION[:CENTRE]`` or the path of an .npy file.

    CENTRE is the share of every undersampled axis that is measured completely, 0 by default. A file
    holds measured lines `[ky]` or points `[ky, kx]`, everything but 0 counts as measured.

    Raises
    ------
    ConfigError
        There is no such kind, a number is impossible, or the file holds no mask.
    """
    if text.endswith(".npy"):
        return _from_file(Path(text))
    kind, *numbers = text.split(":")
    try:
        words, draw = KINDS[kind]
        acceleration, centre = (float(number) for number in (*numbers, "0")[:2])
        possible = len(numbers) <= 2 and acceleration >= 1 and 0 <= centre <= 1
    except (KeyError, ValueError):
        possible = False
    if not possible:
        raise ConfigError(
            f"'{text}' is no sampling pattern; expected KIND:ACCELERATION[:CENTRE] as in "
            f"random1d:4:0.08, with KIND one of {', '.join(KINDS)}, an acceleration of at least 1 "
            "and a centre between 0 and 1; or an .npy file."
        )
    middle = f"{100 * centre:g}% centre" if centre else "no centre"
    return Pattern(
        text,
        f"{words}, R = {acceleration:g}, {middle}",
        lambda shape, rng: draw(shape, acceleration, centre, rng),
    )


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


def _from_file(path: Path) -> Pattern:
    try:
        measured = np.load(path, allow_pickle=False) != 0
    except (OSError, ValueError) as error:
        raise ConfigError(f"The sampling mask '{path}' cannot be read: {error}.") from error
    if measured.ndim not in (1, 2) or not measured.any():
        raise ConfigError(
            f"The sampling mask '{path}' must be lines [ky] or points [ky, kx] with at least one "
            f"measured, got shape {list(measured.shape)}."
        )
    points = measured.reshape(len(measured), -1)

    def draw(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
        if len(points) != shape[0] or points.shape[1] not in (1, shape[1]):
            raise ConfigError(
                f"The sampling mask '{path}' has shape {list(measured.shape)}, the k-space "
                f"{shape[0]} x {shape[1]} points; they must be equal."
            )
        return np.broadcast_to(points, shape).copy()

    return Pattern(str(path), f"{path.stem}, R = {points.size / points.sum():.3g}", draw)


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


def _along_ky(
    draw: Callable[[int, float, float, np.random.Generator], Mask],
) -> Callable[[tuple[int, int], float, float, np.random.Generator], Mask]:
    """Make a pattern of lines one of points."""
    return lambda shape, acceleration, centre, rng: np.repeat(
        draw(shape[0], acceleration, centre, rng)[:, None], shape[1], axis=1
    )


KINDS = {
    "uniform1d": (
        "1D uniform",
        _along_ky(
            lambda lines, acceleration, centre, _: uniform_lines(lines, acceleration, centre)
        ),
    ),
    "random1d": ("1D random", _along_ky(random_lines)),
    "gaussian1d": ("1D Gaussian", _along_ky(gaussian_lines)),
    "gaussian2d": ("2D Gaussian", gaussian_points),
    "poisson2d": ("Poisson disk", poisson_points),
}
"""Name of each kind, in words, and how it is drawn."""

"""Sampling patterns by their spelling on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gadget.errors import ConfigError, DataError, reason
from gadget.mri.sampling.masks import (
    Mask,
    gaussian_lines,
    gaussian_points,
    poisson_points,
    random_lines,
    uniform_lines,
)


@dataclass(frozen=True)
class Pattern:
    """A sampling pattern, which draws a new mask for every scan."""

    name: str
    """``random1d:4:0.08``, or the path of a mask."""
    label: str
    """For reports: ``1D random, R = 4, 8% centre``."""
    draw: Callable[[tuple[int, int], np.random.Generator], Mask]
    """Return a mask `[ky, kx]` for a matrix (ky, kx)."""
    matrix: tuple[int, int] | None = None
    """Matrix (ky, kx) of a mask from a file; None: any."""


def parse_pattern(text: str) -> Pattern:
    """Parse a pattern: ``KIND:ACCELERATION[:CENTRE]`` or the path of an .npy file.

    CENTRE is the share of every undersampled axis that is measured completely, 0 by default. A file
    holds measured lines `[ky]` or points `[ky, kx]`, everything but 0 counts as measured.

    Raises
    ------
    ConfigError
        There is no such kind, a number is impossible, the centre alone holds too many points, or
        the file holds no mask.
    """
    if text.lower().endswith(".npy"):
        return _from_file(Path(text))
    kind, *numbers = text.split(":")
    try:
        label, draw = KINDS[kind]
        acceleration, centre = (float(number) for number in (*numbers, "0")[:2])
        possible = len(numbers) <= 2 and 1 <= acceleration < math.inf and 0 <= centre <= 1
    except (KeyError, ValueError):
        possible = False
    if not possible:
        raise ConfigError(
            f"'{text}' is no sampling pattern; expected KIND:ACCELERATION[:CENTRE] as in "
            f"random1d:4:0.08, with KIND one of {', '.join(KINDS)}, an acceleration of at least 1 "
            "and a centre between 0 and 1; or an .npy file."
        )
    axes = EXACT_COUNT.get(kind)
    # Decimals are rounded: 0.2 squared is a little more than 1/25.
    if axes and centre**axes * acceleration > 1 + 1e-9:
        raise ConfigError(
            f"The centre of '{text}' alone holds more points than an acceleration of "
            f"{acceleration:g} leaves; lower the acceleration or the centre."
        )
    centre_label = f"{100 * centre:g}% centre" if centre else "no centre"
    return Pattern(
        text,
        f"{label}, R = {acceleration:g}, {centre_label}",
        lambda shape, rng: draw(shape, acceleration, centre, rng),
    )


def _from_file(path: Path) -> Pattern:
    try:
        measured = np.load(path, allow_pickle=False).astype(bool)
    except Exception as error:  # damaged files raise whatever they like
        raise ConfigError(f"The sampling mask '{path}' cannot be read: {reason(error)}.") from error
    if measured.ndim not in (1, 2) or not measured.any():
        raise ConfigError(
            f"The sampling mask '{path}' must be lines [ky] or points [ky, kx] with at least one "
            f"measured, got shape {list(measured.shape)}."
        )
    points = measured.reshape(len(measured), -1)

    def draw(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
        if len(points) != shape[0] or points.shape[1] not in (1, shape[1]):
            raise DataError(
                f"The sampling mask '{path}' has shape {list(measured.shape)}, the k-space "
                f"{shape[0]} x {shape[1]} points; they must be equal."
            )
        return np.broadcast_to(points, shape).copy()

    label = f"{path.stem}, R = {points.size / points.sum():.3g}"
    lines, samples = points.shape
    matrix = (lines, samples if samples > 1 else lines)
    return Pattern(str(path), label, draw, matrix)


def _along_ky(
    draw: Callable[[int, float, float, np.random.Generator], Mask],
) -> Callable[[tuple[int, int], float, float, np.random.Generator], Mask]:
    """Repeat a pattern of lines along kx."""
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
"""Label and drawing function of each kind."""
EXACT_COUNT = {"random1d": 1, "gaussian1d": 1, "gaussian2d": 2}
"""Kinds that measure exactly 1 / acceleration of the points, with the axes of their centre."""

"""Head phantom: layered tissue, folded cortex, ventricles, vessels and fine texture.

Everything is a formula of the position in millimetres, so that any slice at any resolution shows
the same head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mri.phantoms.tissue import Field, coverage, overlay

HEAD_SEMIAXES = (70.0, 91.0, 85.0)
"""Of the skin, left-right, front-back and head-foot [mm]."""
SCALP, SKULL, FLUID = 5.5, 6.0, 2.0
"""Thickness of the layers around the brain [mm]."""
CORTEX = 2.2
"""Thickness of grey matter [mm]."""
SULCUS = 0.5
"""Half width of a sulcus [mm]."""
SULCUS_DEPTH = 20.0

WAVES = 48

SKIN, BONE, FLUID_VALUE, GREY, WHITE, NUCLEUS = 0.85, 0.06, 0.16, 0.58, 0.82, 0.66
"""Brightness of the tissues in a T1-weighted scan."""


@dataclass(frozen=True)
class _Waves:
    """Sum of plane waves in random directions with about one wavelength: unit variance."""

    vectors: Field
    phases: Field

    @classmethod
    def draw(cls, shortest: float, longest: float, rng: np.random.Generator) -> _Waves:
        """Draw waves of these lengths [mm]."""
        directions = rng.normal(size=(WAVES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = rng.uniform(shortest, longest, WAVES)
        return cls(2 * np.pi * directions / lengths[:, None], rng.uniform(0, 2 * np.pi, WAVES))

    def __call__(self, position: Field) -> Field:
        return np.asarray(self._sum(position, np.ones(WAVES)).real)

    def distance(self, position: Field) -> Field:
        """Return the approximate distance to the zeros of the sum [mm]."""
        slope = [self._sum(position, 1j * along).real for along in self.vectors.T]
        steepness = sum(part**2 for part in slope)
        return np.asarray(np.abs(self(position)) / np.sqrt(steepness + np.mean(steepness)))

    def _sum(self, position: Field, weights: NDArray[Any]) -> NDArray[np.complex128]:
        # On a grid a plane wave is a product of one wave along y and one along x.
        x, y, z = position[0, 0, :], position[1, :, 0], position[2, 0, 0]
        phases = self.phases + self.vectors[:, 2] * z
        along_x = np.exp(1j * np.outer(self.vectors[:, 0], x))
        along_y = np.exp(1j * (np.outer(self.vectors[:, 1], y) + phases[:, None]))
        total = (along_y * weights[:, None]).T @ along_x
        return np.asarray(total * np.sqrt(2 / WAVES))


def head_slice(
    shape: tuple[int, int], field_of_view_mm: float, z_mm: float, seed: int = 0
) -> NDArray[np.float32]:
    """Return one transverse slice `[y, x]`, front of the head at low y, tissue within 0 and 1.

    Parameters
    ----------
    shape
        Matrix (y, x); pixel ``n // 2`` is the centre.
    field_of_view_mm
        Edge of the square that the slice covers [mm]; the head is 182 mm long.
    z_mm
        Height of the slice above the middle of the head [mm], between -40 and 50.
    seed
        Seed of the random anatomy.
    """
    rng = np.random.default_rng(seed)
    bumps, dents = _Waves.draw(60, 120, rng), _Waves.draw(40, 90, rng)
    folds = _Waves.draw(14, 23, rng)
    mottle, shade = _Waves.draw(14, 40, rng), _Waves.draw(30, 80, rng)
    grain = _Waves.draw(2.5, 6, rng)
    y, x = (field_of_view_mm / n * (np.arange(n) - n // 2) for n in shape)
    position = np.stack(np.broadcast_arrays(x[None, :], y[:, None], z_mm))
    pixel = field_of_view_mm / max(shape)

    depth = _depth(position, HEAD_SEMIAXES) + 0.8 * bumps(position)
    inner = depth - SCALP - SKULL - 0.7 * dents(position)
    brain = _brain(position, inner - FLUID, folds, pixel)
    image = coverage(depth, pixel) * SKIN * (0.9 + 0.05 * mottle(position))
    image = overlay(image, depth - SCALP, BONE, pixel)
    marrow = np.minimum(depth - SCALP - 0.3 * SKULL, 0.65 * SKULL - (depth - SCALP))
    image = overlay(image, marrow + 0.4 * mottle(position), 0.3, pixel)
    image = overlay(image, inner, FLUID_VALUE, pixel)
    image = overlay(image, inner - FLUID, brain, pixel)
    image = _vessels(image, position, inner, pixel, rng)
    image *= 1 + 0.03 * shade(position) + 0.015 * grain(position)
    return np.clip(image, 0, 1.2).astype(np.float32)


def _brain(position: Field, depth: Field, folds: _Waves, pixel: float) -> Field:
    """Return the brain, at `depth` below its surface; extended beyond it."""
    x, y, z = position
    sulcus = folds.distance(position) + 0.5 * np.maximum(0, depth - SULCUS_DEPTH)
    # The two halves are parted above the ventricles, in front and behind.
    parting = np.abs(x) + 0.4 * np.maximum(0, 42 - np.abs(y + 2)) * (z < 45)
    gap = np.minimum(np.minimum(sulcus, parting), np.maximum(depth, 0) + SULCUS)
    image = np.full(depth.shape, WHITE)
    image = overlay(image, SULCUS + CORTEX - gap, GREY, pixel)
    for side in (-1, 1):
        for centre, semiaxes, angle in (
            ((side * 12, -14, 4), (5, 9, 16), -0.35 * side),  # head of the caudate
            ((side * 24, 2, 0), (6, 16, 14), -0.2 * side),  # putamen
            ((side * 10, 14, 0), (8, 12, 12), 0.5 * side),  # thalamus
        ):
            image = overlay(image, _ellipsoid(position, centre, semiaxes, angle), NUCLEUS, pixel)
    image = overlay(image, SULCUS - gap, FLUID_VALUE, pixel)
    for side in (-1, 1):
        for centre, semiaxes, angle in (
            ((side * 7, -20, 10), (4, 15, 18), -0.22 * side),  # front horn
            ((side * 16, 30, 8), (5, 19, 16), 0.3 * side),  # back horn
        ):
            image = overlay(
                image, _ellipsoid(position, centre, semiaxes, angle), FLUID_VALUE, pixel
            )
    return overlay(image, _ellipsoid(position, (0, 8, -4), (2, 12, 12), 0), FLUID_VALUE, pixel)


def _vessels(
    image: Field, position: Field, depth: Field, pixel: float, rng: np.random.Generator
) -> Field:
    """Draw bright vessels of 0.4 to 1.3 mm radius and small lesions into the brain."""
    drawn = image.copy()
    for _ in range(40):
        angle, reach, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.95), rng.normal(0, 0.4)
        centre = 0.8 * reach * np.array([np.cos(angle), np.sin(angle)]) * HEAD_SEMIAXES[:2]
        radius = rng.uniform(0.4, 1.3)
        bright = rng.uniform(0.9, 1.1) if rng.random() < 0.7 else rng.uniform(0.2, 0.4)
        # Vessels run up and down, and drift sideways on the way.
        offset = np.hypot(
            position[0] - centre[0] - tilt * position[2],
            position[1] - centre[1] + tilt * position[2],
        )
        drawn = overlay(drawn, np.minimum(radius - offset, depth), bright, pixel)
    return drawn


def _depth(position: Field, semiaxes: tuple[float, float, float]) -> Field:
    """Return the approximate depth below the surface of an ellipsoid [mm]."""
    scaled = position / np.reshape(semiaxes, (3, 1, 1))
    radius = np.sqrt((scaled**2).sum(0)) + 1e-9
    slope = np.sqrt(((scaled / np.reshape(semiaxes, (3, 1, 1))) ** 2).sum(0)) / radius + 1e-9
    return np.asarray((1 - radius) / slope)


def _ellipsoid(
    position: Field,
    centre: tuple[float, float, float],
    semiaxes: tuple[float, float, float],
    angle: float,
) -> Field:
    """Return the depth in an ellipsoid that is rotated by `angle` [rad] in its slice."""
    x, y, z = (p - c for p, c in zip(position, centre, strict=True))
    cosine, sine = np.cos(angle), np.sin(angle)
    rotated = np.stack([cosine * x + sine * y, cosine * y - sine * x, z])
    return _depth(rotated, semiaxes)

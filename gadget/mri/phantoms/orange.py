"""Orange phantom: fine structure that is out of distribution for a prior of heads.

Everything is a formula of the position in millimetres, as in `gadget.mri.phantoms.head`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gadget.mri.phantoms.tissue import Field, coverage, overlay

RADIUS = 84.0
"""A large one: as big as a head [mm]."""
PEEL, PITH = 3.0, 5.0
"""Thickness of the layers around the flesh [mm]."""
CORE = 7.0
"""Radius of the column in the middle [mm]."""
SEGMENTS = 11
MEMBRANE = 0.5
"""Half the thickness of the skin between segments [mm]."""
SAC = (2.4, 11.0)
"""Width and length of the juice sacs [mm]."""
SKIN = 0.3
"""Thickness of their skins, in units of a sac."""
NEIGHBOURS = 16
"""Nearest points that are searched for the two closest sacs."""
SEEDS = 7

PEEL_VALUE, PITH_VALUE, FLESH_VALUE, MEMBRANE_VALUE, SEED_VALUE = 0.7, 0.22, 0.8, 0.3, 0.12
"""Brightness."""


def orange_slice(
    shape: tuple[int, int], field_of_view_mm: float, z_mm: float = 0.0, seed: int = 0
) -> NDArray[np.float32]:
    """Return a slice `[y, x]` across the segments of an orange, brightness within 0 and 1.

    Parameters
    ----------
    shape
        Matrix (y, x); pixel ``n // 2`` is the centre.
    field_of_view_mm
        Edge of the square that the slice covers [mm].
    z_mm
        Height above the middle [mm], between -60 and 60.
    seed
        Seed of the random structure.
    """
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(
        *(field_of_view_mm / n * (np.arange(n) - n // 2) for n in shape), indexing="ij"
    )
    pixel = field_of_view_mm / max(shape)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    edge = np.sqrt(RADIUS**2 - z_mm**2) * _wobble(angle, rng)
    depth = edge - radius
    borders = np.sort(np.arange(SEGMENTS) + rng.uniform(-0.2, 0.2, SEGMENTS)) * 2 * np.pi / SEGMENTS
    nearest = np.abs(np.angle(np.exp(1j * (angle[..., None] - borders)))).min(-1)
    membrane = radius * np.sin(np.minimum(nearest, np.pi / 2))

    image = PEEL_VALUE * coverage(depth, pixel)
    image = overlay(image, depth - PEEL, PITH_VALUE, pixel)
    flesh = np.minimum(np.minimum(depth - PEEL - PITH, membrane - 2.5 * MEMBRANE), radius - CORE)
    image = overlay(image, depth - PEEL - PITH, MEMBRANE_VALUE, pixel)
    image = overlay(image, flesh, FLESH_VALUE * _sacs(x, y, z_mm, rng), pixel)
    for at in rng.choice(borders, SEEDS, replace=False):
        middle = at + np.pi / SEGMENTS, CORE + rng.uniform(5, 9), rng.uniform(-40, 40)
        along = radius * np.cos(angle - middle[0]) - middle[1]
        across = radius * np.sin(angle - middle[0])
        height = np.clip(1 - ((z_mm - middle[2]) / 25) ** 2, 0, None) ** 0.5
        shell = 3.0 * height - np.hypot(along / 1.8, across)
        image = overlay(image, shell, SEED_VALUE, pixel)
        image = overlay(image, shell - 1.0, 0.5 * FLESH_VALUE, pixel)
    return image.astype(np.float32)


def _sacs(x: Field, y: Field, z_mm: float, rng: np.random.Generator) -> Field:
    """Return the texture of the flesh: cells that point to the centre, with darker skins.

    Cells are the Voronoi cells of random points, in coordinates in which they are round.
    """
    width, length = SAC
    count = round(np.pi * RADIUS**2 / (width * length))
    spread, turn = RADIUS * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    drift = z_mm / length
    centres = np.stack([(spread + drift) * np.cos(turn), (spread + drift) * np.sin(turn)], axis=-1)
    positions = np.stack([x, y], axis=-1).reshape(-1, 2)
    _, neighbours = cKDTree(centres).query(positions, NEIGHBOURS)
    offset = centres[neighbours] - positions[:, None]
    outward = positions / np.maximum(np.linalg.norm(positions, axis=1, keepdims=True), 1e-9)
    along = (offset * outward[:, None]).sum(-1)
    across = offset[..., 0] * outward[:, None, 1] - offset[..., 1] * outward[:, None, 0]
    nearest = np.argpartition(np.hypot(along / length, across / width), 1, axis=1)
    distance = np.take_along_axis(np.hypot(along / length, across / width), nearest[:, :2], 1)
    skin = np.clip(1 - np.abs(distance[:, 1] - distance[:, 0]) / SKIN, 0, 1)
    shade = rng.uniform(0.9, 1.1, count)[np.take_along_axis(neighbours, nearest[:, :1], 1)[:, 0]]
    return np.asarray((shade * (1 - 0.4 * skin)).reshape(x.shape))


def _wobble(angle: Field, rng: np.random.Generator) -> Field:
    """Return a factor near 1 for an outline that is not quite round."""
    waves = sum(
        rng.normal(0, 0.012) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
        for order in range(2, 6)
    )
    return np.asarray(1 + waves)

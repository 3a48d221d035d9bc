"""Stacking of slices to volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gadget.mrd.images.geometry import Geometry

POSITION_TOLERANCE = 0.1
"""Positions that differ by less count as equal, in voxels: some converters round them to tenths of
a millimetre."""
SPACING_TOLERANCE = 1e-3
"""Relative difference of voxel sizes that count as equal."""
DIRECTION_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Stack:
    """Images whose slices form one grid."""

    geometry: Geometry
    """Of the whole grid."""
    members: tuple[tuple[int, ...], ...]
    """The images at each place along the slice direction; a volume has but one place."""


def stacks(geometries: Sequence[Geometry]) -> list[Stack]:
    """Stack images that are parallel, aligned and equally spaced; volumes are not joined.

    Slices are in the order of their places along the slice direction. Images at the same place (of
    several repetitions, say) are in the order they came.
    """
    return [
        stack for group in _parallel(geometries) for stack in _equally_spaced(group, geometries)
    ]


def _parallel(geometries: Sequence[Geometry]) -> list[list[int]]:
    groups: list[list[int]] = []
    for number, geometry in enumerate(geometries):
        for group in groups:
            if _aligned(geometries[group[0]], geometry):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _aligned(one: Geometry, other: Geometry) -> bool:
    if one.shape != other.shape or not np.allclose(
        one.spacing, other.spacing, rtol=SPACING_TOLERANCE
    ):
        return False
    if not np.allclose(one.directions, other.directions, rtol=0, atol=DIRECTION_TOLERANCE):
        return False
    within = (other.origin - one.origin) @ one.directions[:2].T / one.spacing[:2]
    return bool((np.abs(within) < POSITION_TOLERANCE).all())


def _equally_spaced(group: list[int], geometries: Sequence[Geometry]) -> Iterator[Stack]:
    reference = geometries[group[0]]
    tolerance = POSITION_TOLERANCE * reference.spacing[2]
    along = {
        number: float((geometries[number].origin - reference.origin) @ reference.directions[2])
        for number in group
    }
    places: list[list[int]] = []
    for number in sorted(group, key=along.__getitem__):
        if places and along[number] - along[places[-1][0]] < tolerance:
            places[-1].append(number)
        else:
            places.append([number])
    at = [along[place[0]] for place in places]
    single = reference.shape[2] > 1
    start = 0
    while start < len(places):
        stop = start + 1 if single else _end_of_run(at, start, tolerance)
        yield _stack(reference, at[start:stop], places[start:stop])
        start = stop


def _end_of_run(at: Sequence[float], start: int, tolerance: float) -> int:
    """Return the end of the equally spaced places from `start` on."""
    stop = start + 2
    while (
        stop < len(at) and abs((at[stop] - at[stop - 1]) - (at[start + 1] - at[start])) < tolerance
    ):
        stop += 1
    return min(stop, len(at))


def _stack(reference: Geometry, at: Sequence[float], places: Sequence[Sequence[int]]) -> Stack:
    spacing, shape = reference.spacing.copy(), reference.shape
    if len(at) > 1:
        spacing[2] = (at[-1] - at[0]) / (len(at) - 1)
        shape = (*shape[:2], len(at))
    origin = reference.origin + at[0] * reference.directions[2]
    geometry = replace(reference, shape=shape, spacing=spacing, origin=origin)
    return Stack(geometry, tuple(tuple(sorted(place)) for place in places))

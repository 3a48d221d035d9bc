"""Whether an object is larger than the field of view along a phase encoding, and folds."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.operators.field_of_view import FieldOfView

EDGE = 0.02
"""Part of the field of view, at either end, that counts as its edge."""
MIN_POINTS = 32
"""Fewest points along an axis that folding is looked for: slabs of few partitions mostly fill the
field of view to its ends, and blur beyond them."""
TOUCHES = 0.25
"""Amplitude at both edges, relative to that of the whole image, of an object that may reach beyond
them. Heads with air around them have at most 0.16 at the resolution of calibration data."""
BLUR = 4.5
REACHES_BEYOND = (0.2, 0.25)
"""Amplitude beyond an edge, relative to that at the edge, of an object that does: `BLUR` over the
number of complete lines in the centre of k-space, within these limits. Heads and knees that are cut
at the edge have up to 0.16 there with 24 lines, 0.24 with 20, 0.34 with 13 and 0.36 with six; those
of which 5 % and more fold have 0.24 to 1.2. To take the former for the latter costs half a decibel,
the latter for the former ten."""
REACH = (1 / 8, 1 / 4)
"""How far the image of an object that folds reaches beyond either edge, in fields of view: first,
and where the object is beyond that."""
OUTERMOST = 1 / 4
"""Part of an image's rows beyond an edge that tells whether it should reach further."""
REACHES_FURTHER = 0.3
"""Amplitude there, relative to that at the edge, of an object that does. To be wrong costs up to
half a decibel if the object does not, and ten if it does."""


def touched_axes(coil_images: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return those of `axes` along which an object reaches both edges.

    `coil_images` `[coil, y, x]` are centred and of low resolution. What folds over one edge is seen
    at the other.
    """
    power = coil_images.abs().square().sum(dim=0)
    limit = TOUCHES**2 * float(power.mean())
    return tuple(
        axis
        for axis in axes
        if power.shape[axis] >= MIN_POINTS and min(_at_ends(power, axis, EDGE)) > limit
    )


def suited_field_of_view(
    image: Tensor, field_of_view: FieldOfView, centre: tuple[int, int]
) -> FieldOfView:
    """Return the field of view that an image `[y, x]` should have had.

    The image was reconstructed from a centre of k-space of so many complete lines (ky, kx). It need
    not reach beyond edges that nothing lies beyond: there are more unknowns for nothing. Where it
    holds signal as far as it reaches, it should reach further.
    """
    power = image.abs().square()
    y, x = (_suited_reach(power, field_of_view, axis, centre[axis]) for axis in (-2, -1))
    return replace(field_of_view, reach=(y, x))


def _suited_reach(power: Tensor, field_of_view: FieldOfView, axis: int, lines: int) -> float:
    reach = field_of_view.reach[axis]
    if reach != REACH[0]:
        return reach
    edges = sum(_at_ends(field_of_view.crop(power), axis, EDGE))
    outside = field_of_view.margins[axis] / power.shape[axis]
    lowest, highest = REACHES_BEYOND
    limit = min(max(BLUR / lines, lowest), highest)
    if sum(_at_ends(power, axis, outside)) <= limit**2 * edges:
        return 0.0
    if max(_at_ends(power, axis, OUTERMOST * outside)) <= REACHES_FURTHER**2 * edges:
        return reach
    return REACH[1]


def _at_ends(power: Tensor, axis: int, share: float) -> list[float]:
    """Return the mean of `power` at the two ends of an axis, each a share of its length."""
    size = power.shape[axis]
    width = max(1, round(share * size))
    ends = (power.narrow(axis, start, width) for start in (0, size - width))
    return torch.stack([end.mean() for end in ends]).tolist()

"""Whether an object is larger than the field of view along a phase encoding, and folds."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.operators.field_of_view import FieldOfView

EDGE = 0.02
"""Part of the field of view, at either end, that counts as its edge."""
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


def touched_axes(coil_images: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return those of `axes` along which an object reaches both edges.

    `coil_images` `[coil, y, x]` are centred and of low resolution. What folds over one edge is seen
    at the other.
    """
    power = coil_images.abs().square().sum(dim=0)
    limit = TOUCHES**2 * float(power.mean())
    return tuple(axis for axis in axes if min(_at_ends(power, axis, EDGE)) > limit)


def folding_axes(
    image: Tensor, field_of_view: FieldOfView, centre: tuple[int, int]
) -> tuple[int, ...]:
    """Return the axes along which a centred image `[y, x]` holds an object beyond the edges.

    It was reconstructed from a centre of k-space of so many complete lines (ky, kx).
    """
    power = image.abs().square()
    within = field_of_view.crop(power)

    def folds(axis: int) -> bool:
        outside = _at_ends(power, axis, field_of_view.margins[axis] / power.shape[axis])
        edges = _at_ends(within, axis, EDGE)
        lowest, highest = REACHES_BEYOND
        limit = min(max(BLUR / centre[axis], lowest), highest)
        return sum(outside) > limit**2 * sum(edges)

    return tuple(axis for axis in field_of_view.extended_axes if folds(axis))


def _at_ends(power: Tensor, axis: int, share: float) -> list[float]:
    """Return the mean of `power` at the two ends of an axis, each a share of its length."""
    size = power.shape[axis]
    width = max(1, round(share * size))
    ends = (power.narrow(axis, start, width) for start in (0, size - width))
    return torch.stack([end.mean() for end in ends]).tolist()

"""Slice magnitude volumes into the 2D images that a prior is trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mri.intensity_scale import image_scale

Slices: TypeAlias = list[NDArray[np.float32]]
"""Slices `[y, x]` that share one scale of intensity, as a file stores them."""

MIN_EDGE = 64
"""Slices shorter than this [pixels] are left out."""
MIN_FILLED = 0.05
"""Slices with a smaller share of pixels above a tenth of the scale are left out: mostly air."""
UNDERSHOOT = 0.1
"""Negative values up to this share of a slice's maximum are set to 0."""
ISOTROPIC = 1.3
"""Largest ratio of voxel edges at which a volume is sliced along all three axes."""
MAX_VALUE = float(np.finfo(np.float16).max)


def to_slices(volume: NDArray[Any], spacing: Sequence[float]) -> Slices:
    """Slice a volume: isotropic ones along all three axes, single slices and thick ones in plane.

    Parameters
    ----------
    volume
        Three axes in any order.
    spacing
        Distance of the voxels along each axis [mm].
    """
    from_every_side = 1 not in volume.shape and isotropic(spacing)
    axes = range(3) if from_every_side else [slice_axis(volume.shape, spacing)]
    return [plane for axis in axes for plane in np.moveaxis(volume, axis, 0)]


def slice_axis(shape: Sequence[int], spacing: Sequence[float]) -> int:
    """Return the slice axis: that of size 1, else the one with the most different spacing.

    Slices may be thicker than the pixels are wide, or thinner, where they overlap.
    """
    if 1 in shape:
        return shape.index(1)
    with np.errstate(divide="ignore"):
        sizes = np.log(np.asarray(spacing, np.float64))
    return int(np.argmax(np.abs(sizes - np.median(sizes))))


def isotropic(spacing: Sequence[float]) -> bool:
    """Return whether voxels are nearly cubes, so that a volume is sharp from every side."""
    return max(spacing) < ISOTROPIC * min(spacing)


def usable_slices(slices: Slices) -> Iterator[NDArray[np.float16]]:
    """Yield the slices that are not mostly air, with bright tissue near 1.

    Raises
    ------
    DataError
        There is none, or what is called a slice has other axes.
    """
    for s in slices:
        if s.ndim != 2:
            raise DataError(f"expected slices [y, x], got one of shape {list(s.shape)}")
    # Interpolated volumes undershoot a little beside bright edges; more than that is no magnitude.
    finite = [
        np.maximum(s, 0)
        for s in slices
        if s.size
        and np.isfinite(s).all()
        and s.max() > max(0, s.min())
        and s.min() > -UNDERSHOOT * s.max()
    ]
    if not finite:
        raise DataError("no slice is finite, non-negative and more than one grey value")
    scale = image_scale(np.concatenate([s.ravel() for s in finite]))
    shown = [
        s for s in finite if min(s.shape) >= MIN_EDGE and np.mean(s > 0.1 * scale) > MIN_FILLED
    ]
    if not shown:
        raise DataError(f"every slice is smaller than {MIN_EDGE} x {MIN_EDGE} pixels or mostly air")
    for s in shown:
        yield np.minimum(s / np.float32(scale), MAX_VALUE).astype(np.float16)

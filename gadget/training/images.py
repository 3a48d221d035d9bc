"""Magnitude images for training: folders of NIfTI and NumPy files to 2D slices."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mri.scale import image_scale

log = logging.getLogger(__name__)

MIN_EDGE = 64
"""Slices shorter than this [pixels] are left out."""
MIN_FILLED = 0.05
"""Slices with a smaller share of pixels above a tenth of the scale are left out: mostly air."""

UNDERSHOOT = 0.1
"""Negative values up to this share of a slice's maximum are set to 0."""


Volume: TypeAlias = list[NDArray[np.float16]]
"""Magnitude slices `[y, x]` of one file, bright parts near 1; their sizes may differ."""


def load_volumes(folder: Path) -> list[Volume]:
    """Read every image file below `folder`.

    Files that cannot be used are named in the log with the reason and left out.

    Raises
    ------
    DataError
        Nothing is left.
    """
    volumes: list[Volume] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            slices = _read_slices(path)
            if slices is not None:
                volumes.append(_usable(slices, path))
        except Exception as error:  # noqa: BLE001 - damaged files raise whatever their reader likes
            log.warning("%s is left out: %s", path, error)
    if not volumes:
        raise DataError(
            f"{folder} holds no usable magnitude image (NIfTI .nii/.nii.gz or .npy), "
            "expected at least one slice of 64 x 64 pixels that is not empty."
        )
    return volumes


def _read_slices(path: Path) -> list[NDArray[np.floating]] | None:
    if path.name.endswith((".nii", ".nii.gz")):
        return list(_nifti_slices(path))
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        if array.ndim not in (2, 3):
            raise DataError(f"expected [slice, y, x], got shape {list(array.shape)}.")
        magnitude = np.abs(array) if np.iscomplexobj(array) else array
        return list(magnitude.astype(np.float32).reshape(-1, *array.shape[-2:]))
    return None


def _nifti_slices(path: Path) -> Iterator[NDArray[np.floating]]:
    import nibabel

    image: Any = nibabel.load(path)
    volume = np.asarray(image.dataobj, dtype=np.float32)
    if volume.ndim != 3:
        raise DataError(f"expected a 3D volume, got shape {list(volume.shape)}.")
    zooms = np.asarray(image.header.get_zooms()[:3])
    # Isotropic volumes are good images from every side; 2D multi-slice scans only in plane.
    isotropic = zooms.max() < 1.3 * zooms.min()
    axes = range(3) if isotropic else [int(np.argmax(zooms))]
    for axis in axes:
        yield from np.moveaxis(volume, axis, 0)


def _usable(slices: list[NDArray[np.floating]], path: Path) -> Volume:
    # Interpolated volumes undershoot a little beside bright edges; more than that is no magnitude.
    finite = [
        np.maximum(s, 0)
        for s in slices
        if np.isfinite(s).all() and s.max() > 0 and s.min() > -UNDERSHOOT * s.max()
    ]
    if len(finite) < len(slices):
        log.info(
            "%s: %d empty, negative or non-finite slices are left out",
            path,
            len(slices) - len(finite),
        )
    if not finite:
        raise DataError("no slice is finite, non-negative and not empty.")
    scale = image_scale(np.concatenate([s.ravel() for s in finite]))
    usable = [
        (s / scale).astype(np.float16)
        for s in finite
        if min(s.shape) >= MIN_EDGE and np.mean(s > 0.1 * scale) > MIN_FILLED
    ]
    if not usable:
        raise DataError(
            f"every slice is smaller than {MIN_EDGE} x {MIN_EDGE} pixels or mostly air."
        )
    return usable

"""Images as NIfTI files, with slices stacked to volumes."""

from __future__ import annotations

import glob
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.extras import optional_import
from gadget.files import safe_write
from gadget.mrd.export.stacks import Stack, stacks
from gadget.mrd.export.writers import (
    DISCLAIMER,
    ExportedImage,
    SeriesWriter,
    remove_stale,
    volume_numbers,
)
from gadget.mrd.images.scales import Scale, scale_from_meta

log = logging.getLogger(__name__)

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SCANNER = 1
"""NIfTI's code NIFTI_XFORM_SCANNER_ANAT."""


class NiftiWriter(SeriesWriter):
    """Writes `<stem>_series_<series>.nii.gz` when it is closed: one file a series.

    Axes are x, y, slice, then volumes (averages, repetitions, sets, phases, contrasts) and coils,
    where there are several. Pixels keep their type; the scale of integers is in the header
    (`scl_slope`), or applied to float32 pixels where it differs between the images. Slices
    that are not parallel or not equally spaced are in files of their own,
    `..._group_<number>.nii.gz`. Files of these names that were there before are removed.
    Parameters are those of `SeriesWriter`.

    Raises
    ------
    ConfigError
        The folder cannot be made, or nibabel is missing.
    DataError
        The header is not one.
    """

    def __init__(self, folder: Path, stem: str = "", header_xml: bytes | None = None) -> None:
        with optional_import("NIfTI files need", "nifti"):
            import nibabel
        super().__init__(folder, stem, header_xml)
        self._nibabel: Any = nibabel

    def _write_series(self, series: int, images: list[ExportedImage]) -> None:
        kinds: dict[tuple[Any, int], list[ExportedImage]] = {}
        for image in images:
            kinds.setdefault((image.pixels.dtype, len(image.pixels)), []).append(image)
        groups = [
            (alike, stack)
            for alike in kinds.values()
            for stack in stacks([image.geometry for image in alike])
        ]
        if len(groups) > 1:
            log.warning(
                "Series %d does not stack to one volume (other directions, spacings, sizes or "
                "pixel types): it is in %d NIfTI files.",
                series,
                len(groups),
            )
        written: set[Path] = set()
        for number, (alike, stack) in enumerate(groups, start=1):
            suffix = f"_group_{number}" if len(groups) > 1 else ""
            path = self.folder / f"{self.name(series)}{suffix}.nii.gz"
            scales = {scale_from_meta(image.pixels, image.meta) for image in alike}
            if len(scales) > 1:
                alike = [_rescaled(image) for image in alike]
            data = _stacked(alike, stack, series)
            self._save(path, data, stack, series, scales.pop() if len(scales) == 1 else None)
            written.add(path)
        name = glob.escape(self.name(series))
        remove_stale(written, f"{name}.nii.gz", f"{name}_group_*.nii.gz")

    def _save(
        self, path: Path, data: NDArray[Any], stack: Stack, series: int, scale: Scale | None
    ) -> None:
        image = self._nibabel.Nifti1Image(data, None)
        if scale is not None:
            image.header.set_slope_inter(scale.slope, scale.intercept)
        affine = LPS_TO_RAS @ stack.geometry.affine
        image.set_sform(affine, SCANNER)
        image.set_qform(affine, SCANNER)
        image.header.set_xyzt_units("mm")
        image.header["descrip"] = f"series {series}; {DISCLAIMER}".encode()
        with safe_write(path, DataError) as part:
            self._nibabel.save(image, part)


def _rescaled(image: ExportedImage) -> ExportedImage:
    scale = scale_from_meta(image.pixels, image.meta) or Scale()
    return replace(image, pixels=scale.rescaled(image.pixels))


def _stacked(images: Sequence[ExportedImage], stack: Stack, series: int) -> NDArray[Any]:
    """Return the pixels `[x, y, z, volume, coil]`, without the last axes where they are 1 long."""
    volumes = volume_numbers(images, stack)
    count = max(volumes.values()) + 1
    pixels = images[stack.members[0][0]].pixels
    dtype = np.int32 if pixels.dtype == np.int64 else pixels.dtype
    data = np.zeros((*stack.geometry.shape, count, len(pixels)), dtype)
    for z, place in enumerate(stack.members):
        for number in place:
            planes = images[number].pixels.transpose(3, 2, 1, 0)
            data[:, :, z : z + planes.shape[2], volumes[number]] = planes
    missing = count * len(stack.members) - len(volumes)
    if missing:
        log.warning("Series %d lacks %d slices of its volumes: they are 0.", series, missing)
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    return data

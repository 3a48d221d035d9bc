"""Read magnitude slices from NIfTI, NumPy and HDF5 files."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.extras import optional_import
from gadget.training.skipped_files import log_skipped
from gadget.training.slices import Slices, to_slices

FASTMRI = ("reconstruction_rss", "reconstruction_esc")
"""Datasets `[slice, y, x]` of fastMRI files, multi-coil and single-coil."""


def read_nifti(path: Path) -> Iterator[Slices]:
    """Yield the volumes of a NIfTI file: one of a 2D or 3D image, each of a 4D image."""
    with optional_import("NIfTI files need", "train"):
        import nibabel
    # It shows what is odd about a header twice, without the name of the file.
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    # Left open: the volumes of a compressed file are reached one after the other, not anew.
    image: Any = nibabel.load(path, keep_file_open=True)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise DataError(f"expected a 2D, 3D or 4D image, got shape {list(image.shape)}")
    planes = (*shape, 1)[:3]
    zooms = [float(zoom) for zoom in image.header.get_zooms()[:3]]
    # What is not known counts as 1 mm, as nibabel takes 0.
    spacing = [zoom if math.isfinite(zoom) else 1.0 for zoom in (*zooms, 1.0)[:3]]
    for t in range(shape[3] if len(shape) == 4 else 1):
        index = (..., t) if len(shape) == 4 else ...
        volume = magnitude(np.asanyarray(image.dataobj[index]))
        yield to_slices(volume.reshape(planes), spacing)


def read_numpy(path: Path) -> Iterator[Slices]:
    """Yield the slices of a NumPy file `[slice, y, x]` or `[y, x]`."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim not in (2, 3):
        raise DataError(f"expected [slice, y, x], got shape {list(array.shape)}")
    yield list(magnitude(array).reshape(-1, *array.shape[-2:]))


def read_hdf5(path: Path) -> Iterator[Slices]:
    """Yield fastMRI's reconstructions, or each series of ISMRMRD images."""
    with h5py.File(path, "r") as file:
        for name in FASTMRI:
            if isinstance(file.get(name), h5py.Dataset):
                images = magnitude(np.asarray(file[name][()]))
                if images.ndim != 3:
                    raise DataError(
                        f"expected [slice, y, x] in '{name}', got shape {list(images.shape)}"
                    )
                yield list(images)
                return
        yield from _slices_by_series(_image_series(file), path)


def magnitude(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return what is stored as magnitude: complex values without phase, others as they are."""
    if array.dtype.names == ("real", "imag"):
        array = array["real"] + 1j * array["imag"]
    if array.dtype.kind not in "biufc":
        raise DataError(f"its pixels are no numbers but of type {array.dtype}")
    # Large numbers become infinite: their slices are left out for that.
    with np.errstate(over="ignore"):
        return (np.abs(array) if array.dtype.kind == "c" else array).astype(np.float32)


def _image_series(file: h5py.File) -> list[h5py.Group]:
    """Return the groups called image_N, as Gadgetron's client and ISMRMRD's libraries make them."""
    found: list[h5py.Group] = []

    def visit(name: str, item: h5py.HLObject) -> None:
        if (
            isinstance(item, h5py.Group)
            and re.search(r"(^|/)image_\d+$", name)
            and isinstance(item.get("data"), h5py.Dataset)
        ):
            found.append(item)

    file.visititems(visit)
    return found


def _slices_by_series(series: list[h5py.Group], path: Path) -> Iterator[Slices]:
    """Yield the slices of each series; those that cannot be read are logged beside others."""
    if not series:
        raise DataError(
            "it is HDF5 without images: neither fastMRI's 'reconstruction_rss' or "
            "'reconstruction_esc' nor ISMRMRD's 'image_N/data'"
        )
    found = False
    unreadable: dict[str, Exception] = {}
    for one in series:
        try:
            slices = _series_slices(one)
        except Exception as error:  # noqa: BLE001 - damaged files raise whatever they like
            unreadable[str(one.name)] = error
            continue
        if slices:
            found = True
            yield slices
    if not found:
        no_magnitude = DataError("it holds phase images or maps, no magnitude")
        # That leaves out the file, which is told in one line.
        raise next(iter(unreadable.values()), no_magnitude)
    for name, reason in unreadable.items():
        log_skipped(f"'{name}' of {path}", reason)


def _series_slices(series: h5py.Group) -> Slices:
    """Return the magnitude slices of one series, coils combined by root sum of squares."""
    from gadget.mrd.images.make_image import NO_MAGNITUDE
    from gadget.mrd.images.meta import is_std_map, parse_meta
    from gadget.mrd.images.scales import pixel_values

    data = series["data"]
    if data.ndim != 5:
        raise DataError(f"expected [image, coil, z, y, x], got shape {list(data.shape)}")
    types = series["header"]["image_type"] if "header" in series else np.zeros(len(data))
    if len(types) < len(data):
        raise DataError(f"'{series.name}' has {len(data)} images and {len(types)} headers")
    texts = series["attributes"].asstr("utf-8", "replace")[()] if "attributes" in series else ()
    slices: Slices = []
    for number in range(len(data)):
        meta = parse_meta((texts[number] if number < len(texts) else "").encode())
        if types[number] in NO_MAGNITUDE or is_std_map(meta):
            continue
        coils = magnitude(pixel_values(data[number], meta))
        slices += list(np.sqrt(np.sum(coils**2, axis=0)) if len(coils) > 1 else coils[0])
    return slices

"""Reading of images from HDF5 files, in the layout of Gadgetron's client."""

from __future__ import annotations

from pathlib import Path

import h5py
import ismrmrd
import numpy as np
from ismrmrd.hdf5 import image_header_dtype

from gadget.errors import ConfigError, DataError, reason
from gadget.mrd.hdf5 import HDF5_ERRORS, find_groups, is_image_series, open_hdf5
from gadget.mrd.images.meta import parse_meta


def read_images(path: Path | str, group: str | None = None) -> list[ismrmrd.Image]:
    """Read the images of a file, series by series; otherwise as `read_groups`."""
    return [image for images in read_groups(path, group).values() for image in images]


def read_groups(path: Path | str, group: str | None = None) -> dict[str, list[ismrmrd.Image]]:
    """Read the images of a file, series by series, by the name of the group that they are in.

    Parameters
    ----------
    path
        File to read.
    group
        Group of the images; by default all of them.

    Raises
    ------
    ConfigError
        There is no such file or no such group.
    DataError
        The file is not HDF5 or holds no images.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        if group is not None and not isinstance(file.get(group.strip("/")), h5py.Group):
            names = ", ".join(f"'{name}'" for name in file)
            raise ConfigError(f"'{path}' has no group '{group}'; it has {names or 'none'}.")
        try:
            series = _image_series(file[group] if group is not None else file)
        except HDF5_ERRORS as error:
            raise DataError(
                f"'{path}' is damaged: {str(error).strip(chr(39))}. Reconstruct it again."
            ) from error
        found: dict[str, list[ismrmrd.Image]] = {}
        for one in series:
            if images := _read_series(one, path):
                found.setdefault(str(one.parent.name).strip("/"), []).extend(images)
        if not found:
            raise DataError(
                f"'{path}' holds no ISMRMRD images; give a file that a reconstruction has written."
            )
        return found


def _image_series(group: h5py.Group) -> list[h5py.Group]:
    found = [group] if is_image_series(group) else []
    found += [group[name] for name in find_groups(group, is_image_series)]
    return sorted(found, key=lambda item: (item.parent.name, _series_number(item)))


def _series_number(group: h5py.Group) -> int:
    digits = str(group.name).rpartition("_")[2]
    return int(digits) if digits.isdigit() else 0


def _read_series(group: h5py.Group, path: Path) -> list[ismrmrd.Image]:
    try:
        return [_read_image(group, number) for number in range(len(group["header"]))]
    except HDF5_ERRORS as error:
        raise DataError(
            f"The images in '{path}' at '{group.name}' are damaged: {reason(error)}. "
            "Reconstruct them again."
        ) from error


def _read_image(group: h5py.Group, number: int) -> ismrmrd.Image:
    header = np.zeros(1, image_header_dtype)
    stored = group["header"][number]
    for name in image_header_dtype.names:
        header[name] = stored[name]
    attributes = group["attributes"][number]
    if isinstance(attributes, str):
        attributes = attributes.encode("utf-8", "replace")
    image = ismrmrd.Image(header.tobytes(), meta=parse_meta(attributes))
    pixels = group["data"][number]
    image.data[:] = pixels.view(image.data.dtype) if pixels.dtype.names else pixels
    return image

"""ISMRMRD images of reconstructed arrays, with geometry and time stamps of their readouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.images.meta import MetaValue, to_meta
from gadget.mrd.readouts.image_key import ImageCounters
from gadget.mrd.xml_header.header import Space

PIXEL_TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.uint16): ismrmrd.DATATYPE_USHORT,
    np.dtype(np.float32): ismrmrd.DATATYPE_FLOAT,
    np.dtype(np.complex64): ismrmrd.DATATYPE_CXFLOAT,
}
"""Pixels of the images that are made here, and what ISMRMRD calls them. Gadgetron 4.7 and all
versions of ismrmrd read them; int16 and int32 break one or the other."""

NO_MAGNITUDE = (ismrmrd.IMTYPE_PHASE, ismrmrd.IMTYPE_REAL, ismrmrd.IMTYPE_IMAG)
"""Types of images that hold neither magnitude nor complex pixels."""

COPIED_FIELDS = (
    "measurement_uid",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "patient_table_position",
    "acquisition_time_stamp",
    "physiology_time_stamp",
    "user_int",
    "user_float",
)


def make_image(
    array: NDArray[Any],
    reference: ismrmrd.AcquisitionHeader,
    recon: Space,
    *,
    image_index: int,
    series_index: int,
    image_type: int,
    meta: Mapping[str, MetaValue] | None = None,
) -> ismrmrd.Image:
    """Return an image with geometry, time stamps and counters of a readout.

    Parameters
    ----------
    array
        Pixels `[z, y, x]` or `[coil, z, y, x]`: uint16, float32 or complex64, in C order.
    reference
        Readout that geometry, time stamps and counters are copied from.
    recon
        Space of the image, which gives its field of view.
    image_index
        Number of the image within its series.
    series_index
        Number of the series.
    image_type
        One of ismrmrd's `IMTYPE_*`.
    meta
        Metadata, as `image_meta` makes them.

    Raises
    ------
    DataError
        The array has another shape or type, or a number does not fit the header.
    """
    if array.ndim not in (3, 4) or array.dtype not in PIXEL_TYPES:
        types = ", ".join(dtype.name for dtype in PIXEL_TYPES)
        raise DataError(
            f"An image must be [z, y, x] or [coil, z, y, x] of {types}, got "
            f"{list(array.shape)} of {array.dtype}."
        )
    channels, *size = array.shape if array.ndim == 4 else (1, *array.shape)
    header = ismrmrd.ImageHeader()
    header.version = 1
    for name in COPIED_FIELDS:
        setattr(header, name, getattr(reference, name))
    for name, value in ImageCounters.of(reference.idx)._asdict().items():
        setattr(header, name, value)
    header.field_of_view = recon.field_of_view_mm
    header.image_type = _uint16("image_type", image_type)
    header.image_index = _uint16("image_index", image_index)
    header.image_series_index = _uint16("image_series_index", series_index)
    header.data_type = PIXEL_TYPES[array.dtype]
    header.channels = _uint16("channels", channels)
    header.matrix_size = tuple(_uint16("matrix_size", extent) for extent in reversed(size))
    image = ismrmrd.Image(header)
    image.data[:] = array.reshape(channels, *size)
    image.meta = to_meta(meta or {})
    return image


def _uint16(name: str, value: int) -> int:
    if not 0 <= value <= 0xFFFF:
        raise DataError(f"{name} must be from 0 to 65535 to fit an image header, got {value}.")
    return int(value)

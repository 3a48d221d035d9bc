"""Series of images in HDF5 files, in the layout of Gadgetron's client."""

from __future__ import annotations

import logging
from typing import Any

import h5py
import ismrmrd
import numpy as np
from ismrmrd.hdf5 import get_hdf5type, image_header_dtype

log = logging.getLogger(__name__)

Signature = tuple[tuple[int, ...], np.dtype[Any]]

MAX_CHUNK_BYTES = 2**31


class SeriesNumbers:
    """Numbers of the series in a file: one series has one matrix size and pixel type."""

    def __init__(self) -> None:
        self._signatures: dict[int, Signature] = {}
        self._renumbered: dict[tuple[int, Signature], int] = {}

    def of(self, series: int, image: ismrmrd.Image) -> int:
        """Return the series of an image; another one if it differs from the first of its own."""
        signature = image.data.shape, image.data.dtype
        if self._signatures.setdefault(series, signature) == signature:
            return series
        if (series, signature) not in self._renumbered:
            free = max(self._signatures) + 1
            self._renumbered[series, signature] = free
            self._signatures[free] = signature
            log.warning(
                "An image of series %d has another size or pixel type; it is in series %d.",
                series,
                free,
            )
        return self._renumbered[series, signature]


def append_image(group: h5py.Group, header: ismrmrd.ImageHeader, image: ismrmrd.Image) -> None:
    """Append an image to the group of its series, with that header in place of its own."""
    stored = get_hdf5type(header.data_type)
    text = h5py.special_dtype(vlen=str)
    if "header" not in group:
        shape = image.data.shape
        image_chunk = (1, *shape) if image.data.nbytes < MAX_CHUNK_BYTES else True
        for name, extent, dtype, chunks in (
            ("header", (), image_header_dtype, (1,)),
            ("attributes", (), text, (1,)),
            ("data", shape, stored, image_chunk),
        ):
            size, limit = (0, *extent), (None, *extent)
            group.create_dataset(name, size, dtype, maxshape=limit, chunks=chunks)
    number = len(group["header"])
    for name, value in (
        ("data", np.ascontiguousarray(image.data).view(stored)),
        ("attributes", image.attribute_string),
        ("header", np.frombuffer(bytes(header), image_header_dtype)[0]),
    ):
        group[name].resize(number + 1, axis=0)
        group[name][number] = value

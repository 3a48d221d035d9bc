"""Encoding and decoding of image messages.

ismrmrd-python's own way is not used: it writes int32 pixels as int64, and images of 16-bit signed
integers end a Gadgetron server (core/readers/ImageReader.cpp, version 4.7).
"""

from __future__ import annotations

from typing import Any

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import StreamError
from gadget.mrd.images.meta import parse_meta
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.messages import UINT64
from gadget.stream.wire.parts import Part

DATA_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u2"),
    2: np.dtype("<i2"),
    3: np.dtype("<u4"),
    4: np.dtype("<i4"),
    5: np.dtype("<f4"),
    6: np.dtype("<f8"),
    7: np.dtype("<c8"),
    8: np.dtype("<c16"),
}
WIDER_TYPES = {2: 5, 4: 6}
"""Signed integer types and their replacements: a Gadgetron server crashes at int16, and
ismrmrd-python takes int32 for int64."""
SENDABLE = {kind: code for code, kind in DATA_TYPES.items() if code not in WIDER_TYPES}
"""Pixel types that every version of Gadgetron and of its clients reads back."""


def decode_image(cursor: Cursor) -> ismrmrd.Image:
    """Decode the body of an image message.

    int16 pixels become float32 and int32 pixels float64, which hold every value of them.
    """
    head = cursor.structure(ismrmrd.ImageHeader)
    attributes = bytes(cursor.take(cursor.number(UINT64))).rstrip(b"\0")
    kind = DATA_TYPES.get(head.data_type)
    if kind is None:
        raise StreamError(f"An image has the data type {head.data_type}, ISMRMRD knows 1 to 8.")
    x, y, z = head.matrix_size
    pixels = cursor.array(kind, (head.channels, z, y, x))
    if head.data_type in WIDER_TYPES:
        head.data_type = WIDER_TYPES[head.data_type]
        pixels = pixels.astype(DATA_TYPES[head.data_type])
    image = ismrmrd.Image(head, meta=parse_meta(attributes))
    image.data[:] = pixels
    return image


def encode_image(image: ismrmrd.Image) -> list[Part]:
    """Return the parts of the body of an image message.

    Raises
    ------
    StreamError
        Gadgetron or its clients cannot read such pixels.
    """
    pixels: NDArray[Any] = np.ascontiguousarray(image.data)
    code = SENDABLE.get(pixels.dtype)
    if code is None or pixels.ndim != 4:
        raise StreamError(
            f"An image of {pixels.dtype} {list(pixels.shape)} cannot be sent: expected "
            "[coil, z, y, x] of " + ", ".join(str(kind) for kind in SENDABLE) + "."
        )
    if max(pixels.shape) > np.iinfo(np.uint16).max:
        raise StreamError(
            f"An image of {list(pixels.shape)} cannot be sent: ISMRMRD allows 65535 per axis."
        )
    head = image.getHead()
    head.data_type = code
    head.channels = pixels.shape[0]
    head.matrix_size = (pixels.shape[3], pixels.shape[2], pixels.shape[1])
    attributes = image.attribute_string.encode("utf-8") if len(image.meta) else b""
    head.attribute_string_len = len(attributes)
    return [bytes(head), UINT64.pack(len(attributes)), attributes, pixels.tobytes()]

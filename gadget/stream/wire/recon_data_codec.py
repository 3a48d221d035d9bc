"""Encoding and decoding of the messages of reconstruction buffers (`ReconData`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gadget.errors import StreamError
from gadget.mrd.buffers.recon_data import ReconBit, ReconBuffer, ReconData, SamplingDescription
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.messages import UINT64
from gadget.stream.wire.parts import Part, memory_of

DATA_AXES = 7
TRAJECTORY_AXES = 7
DENSITY_AXES = 6
HEADER_AXES = 5


def decode_recon_data(cursor: Cursor) -> ReconData:
    """Decode the body of a message of reconstruction buffers."""
    return ReconData([_decode_bit(cursor) for _ in range(cursor.number(UINT64))])


def _decode_bit(cursor: Cursor) -> ReconBit:
    data = _decode_buffer(cursor)
    return ReconBit(data, _decode_buffer(cursor) if cursor.flag() else None)


def _decode_buffer(cursor: Cursor) -> ReconBuffer:
    data = _decode_array(cursor, np.complex64, DATA_AXES)
    trajectory = _decode_array(cursor, np.float32, TRAJECTORY_AXES) if cursor.flag() else None
    density = _decode_array(cursor, np.float32, DENSITY_AXES) if cursor.flag() else None
    headers = _decode_array(cursor, HEADER_DTYPE, HEADER_AXES)
    sampling = cursor.structure(SamplingDescription)
    return ReconBuffer(data, headers, sampling, trajectory, density)


def _decode_array(cursor: Cursor, dtype: DTypeLike, axes: int) -> NDArray[Any]:
    shape = [cursor.number(UINT64) for _ in range(cursor.number(UINT64))]
    if len(shape) > axes:
        raise StreamError(
            f"An array of {len(shape)} dimensions {shape} came where {axes} were expected: the two "
            "ends disagree about the format."
        )
    # An array without dimensions has no elements. Left out dimensions are the last ones, size 1.
    full = shape + [1] * (axes - len(shape)) if shape else [0] * axes
    return cursor.array(dtype, tuple(reversed(full)))


def encode_recon_data(recon: ReconData) -> list[Part]:
    """Return the parts of the body of a message of reconstruction buffers.

    Raises
    ------
    StreamError
        An array has another type or other axes than the message holds.
    """
    parts: list[Part] = [UINT64.pack(len(recon.bits))]
    for bit in recon.bits:
        parts += _encode_buffer(bit.data)
        parts += _encode_optional(bit.calibration, _encode_buffer)
    return parts


def _encode_buffer(buffer: ReconBuffer) -> list[Part]:
    return [
        *_encode_array(buffer.data, np.complex64, DATA_AXES),
        *_encode_optional(
            buffer.trajectory, lambda array: _encode_array(array, np.float32, TRAJECTORY_AXES)
        ),
        *_encode_optional(
            buffer.density, lambda array: _encode_array(array, np.float32, DENSITY_AXES)
        ),
        *_encode_array(buffer.headers, HEADER_DTYPE, HEADER_AXES),
        bytes(buffer.sampling),
    ]


_Optional = TypeVar("_Optional")


def _encode_optional(
    value: _Optional | None, encoder: Callable[[_Optional], list[Part]]
) -> list[Part]:
    return [b"\x00"] if value is None else [b"\x01", *encoder(value)]


def _encode_array(array: NDArray[Any], dtype: DTypeLike, axes: int) -> list[Part]:
    if array.dtype != np.dtype(dtype) or array.ndim != axes:
        raise StreamError(
            f"An array {array.dtype} of {array.ndim} dimensions cannot be sent: expected "
            f"{np.dtype(dtype)} of {axes} dimensions."
        )
    shape = np.array(array.shape[::-1], dtype="<u8")
    # Gadgetron's first axis is the fastest: reversed axes in C order are the same memory.
    return [UINT64.pack(axes), shape.tobytes(), memory_of(array)]

"""Encoding and decoding of messages.

Decoded arrays are writable: views of the message's own memory where its alignment allows, copies
elsewhere.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import ismrmrd
import numpy as np
from numpy.typing import DTypeLike, NDArray

from gadget.errors import StreamError
from gadget.mrd.buffers.recon_data import (
    AcquisitionBucket,
    ReconBit,
    ReconBuffer,
    ReconData,
    SamplingDescription,
)
from gadget.mrd.readouts.acquisition import HEADER_DTYPE, header_of
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.image_codec import decode_image, encode_image
from gadget.stream.wire.messages import (
    BUCKET_META_BYTES,
    UINT16,
    UINT64,
    Message,
    MessageId,
)

Item: TypeAlias = (
    ismrmrd.Acquisition | ismrmrd.Waveform | ismrmrd.Image | ReconData | AcquisitionBucket | Message
)
"""What a node receives and sends. An image array is not decoded."""

Part: TypeAlias = bytes | bytearray | memoryview
_Struct = TypeVar("_Struct", bound=ctypes.Structure)

DATA_AXES = 7
TRAJECTORY_AXES = 7
DENSITY_AXES = 6
HEADER_AXES = 5
STATISTICS = 9


def decode(message: Message) -> Item:
    """Return the object that a data message holds.

    Raises
    ------
    StreamError
        The body is shorter or longer than its own lengths say, or holds something that does not
        exist in ISMRMRD.
    """
    decoder = _DECODERS.get(message.id)
    if decoder is None:
        return message
    cursor = Cursor(message.payload, f"{message.id.name} ({message.id.value})")
    item = decoder(cursor)
    cursor.expect_end()
    return item


def encode(item: Item) -> list[Part]:
    """Return the parts of a message: number and body.

    Raises
    ------
    StreamError
        Gadgetron could not read such an object.
    """
    if isinstance(item, Message):
        return [UINT16.pack(item.id), item.payload]
    for kind, message_id, encoder in _ENCODERS:
        if isinstance(item, kind):
            return [UINT16.pack(message_id), *encoder(item)]
    raise StreamError(
        f"An object of type {type(item).__name__} cannot be sent: expected an Acquisition, "
        "Waveform, Image, ReconData, AcquisitionBucket or Message."
    )


def encode_bytes(item: Item) -> bytes:
    """Return a message, number and body, as one piece."""
    return b"".join(encode(item))


def _decode_acquisition(cursor: Cursor) -> ismrmrd.Acquisition:
    head = _structure(cursor, ismrmrd.AcquisitionHeader)
    samples = head.number_of_samples
    trajectory = _trajectory(cursor, head)
    data = cursor.array(np.complex64, (head.active_channels, samples))
    return ismrmrd.Acquisition(head, data, trajectory)


def _trajectory(cursor: Cursor, head: ismrmrd.AcquisitionHeader) -> NDArray[np.float32]:
    return cursor.array(np.float32, (head.number_of_samples, head.trajectory_dimensions))


def _encode_acquisition(acquisition: ismrmrd.Acquisition) -> list[Part]:
    head = header_of(acquisition)
    samples = head.number_of_samples
    return [
        bytes(head),
        _checked_memory(acquisition.traj, np.float32, (samples, head.trajectory_dimensions)),
        _checked_memory(acquisition.data, np.complex64, (head.active_channels, samples)),
    ]


def _checked_memory(array: NDArray[Any], dtype: DTypeLike, shape: tuple[int, int]) -> memoryview:
    """Return the memory of an array after checking its type and shape against its header."""
    # One byte more or less, and nothing after it is readable.
    if array.dtype != dtype or array.shape != shape:
        raise StreamError(
            f"An array {array.dtype} {array.shape} cannot be sent: its header announces "
            f"{np.dtype(dtype)} {shape}."
        )
    return _memory(array)


def _decode_waveform(cursor: Cursor) -> ismrmrd.Waveform:
    head = _structure(cursor, ismrmrd.WaveformHeader)
    return ismrmrd.Waveform(head, cursor.array(np.uint32, (head.channels, head.number_of_samples)))


def _encode_waveform(waveform: ismrmrd.Waveform) -> list[Part]:
    head = waveform.getHead()
    shape = head.channels, head.number_of_samples
    return [bytes(head), _checked_memory(waveform.data, np.uint32, shape)]


def _decode_recon_data(cursor: Cursor) -> ReconData:
    return ReconData([_decode_bit(cursor) for _ in range(cursor.number(UINT64))])


def _decode_bit(cursor: Cursor) -> ReconBit:
    data = _decode_buffer(cursor)
    return ReconBit(data, _decode_buffer(cursor) if cursor.flag() else None)


def _decode_buffer(cursor: Cursor) -> ReconBuffer:
    data = _decode_array(cursor, np.complex64, DATA_AXES)
    trajectory = _decode_array(cursor, np.float32, TRAJECTORY_AXES) if cursor.flag() else None
    density = _decode_array(cursor, np.float32, DENSITY_AXES) if cursor.flag() else None
    headers = _decode_array(cursor, HEADER_DTYPE, HEADER_AXES)
    sampling = _structure(cursor, SamplingDescription)
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


def _encode_recon_data(recon: ReconData) -> list[Part]:
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
    return [UINT64.pack(axes), shape.tobytes(), _memory(array)]


def _memory(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1).data


def _decode_bucket(cursor: Cursor) -> AcquisitionBucket:
    meta = cursor.array(np.dtype("<u8"), (BUCKET_META_BYTES // UINT64.size,))
    data = _decode_bundle(cursor, int(meta[0]))
    _skip_statistics(cursor)
    calibration = _decode_bundle(cursor, int(meta[4]))
    _skip_statistics(cursor)
    heads = [_structure(cursor, ismrmrd.WaveformHeader) for _ in range(int(meta[10]))]
    waveforms = [
        ismrmrd.Waveform(head, cursor.array(np.uint32, (head.channels, head.number_of_samples)))
        for head in heads
    ]
    return AcquisitionBucket(data, calibration, waveforms)


def _decode_bundle(cursor: Cursor, count: int) -> list[ismrmrd.Acquisition]:
    heads = [_structure(cursor, ismrmrd.AcquisitionHeader) for _ in range(count)]
    trajectories = [_trajectory(cursor, head) for head in heads]
    samples = [
        cursor.array(np.complex64, (head.active_channels, head.number_of_samples)) for head in heads
    ]
    return [
        ismrmrd.Acquisition(head, data, trajectory)
        for head, data, trajectory in zip(heads, samples, trajectories, strict=True)
    ]


def _skip_statistics(cursor: Cursor) -> None:
    for _ in range(cursor.number(UINT64)):
        for _ in range(STATISTICS):
            cursor.take(cursor.number(UINT64) * UINT16.size)


def _encode_bucket(bucket: AcquisitionBucket) -> list[Part]:
    image = _Bundle([_encode_acquisition(item) for item in bucket.data])
    calibration = _Bundle([_encode_acquisition(item) for item in bucket.calibration])
    waves = [_encode_waveform(item) for item in bucket.waveforms]
    heads = b"".join(wave[0] for wave in waves)
    data = b"".join(wave[1] for wave in waves)
    no_statistics = UINT64.pack(0)
    sizes = [*image.sizes, *calibration.sizes, 8, 8, len(waves), len(heads), len(data)]
    return [
        np.array(sizes, dtype="<u8").tobytes(),
        *(image.heads, image.trajectories, image.data, no_statistics),
        *(calibration.heads, calibration.trajectories, calibration.data, no_statistics),
        *(heads, data),
    ]


class _Bundle:
    """Acquisitions as a bucket holds them: all headers, all trajectories, all data."""

    def __init__(self, acquisitions: list[list[Part]]) -> None:
        self.heads, self.trajectories, self.data = (
            b"".join(parts[position] for parts in acquisitions) for position in range(3)
        )
        self.sizes = (len(acquisitions), len(self.heads), len(self.data), len(self.trajectories))


def _structure(cursor: Cursor, kind: type[_Struct]) -> _Struct:
    return kind.from_buffer_copy(cursor.take(ctypes.sizeof(kind)))


_DECODERS: dict[MessageId, Callable[[Cursor], Item]] = {
    MessageId.ACQUISITION: _decode_acquisition,
    MessageId.WAVEFORM: _decode_waveform,
    MessageId.IMAGE: decode_image,
    MessageId.RECON_DATA: _decode_recon_data,
    MessageId.BUCKET: _decode_bucket,
}
_ENCODERS: list[tuple[type[Any], MessageId, Callable[[Any], list[Part]]]] = [
    (ismrmrd.Acquisition, MessageId.ACQUISITION, _encode_acquisition),
    (ismrmrd.Waveform, MessageId.WAVEFORM, _encode_waveform),
    (ismrmrd.Image, MessageId.IMAGE, encode_image),
    (ReconData, MessageId.RECON_DATA, _encode_recon_data),
    (AcquisitionBucket, MessageId.BUCKET, _encode_bucket),
]

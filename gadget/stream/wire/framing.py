"""Reading whole messages, without decoding them.

The length of a message is scattered over its body. These functions walk through a body as it
arrives, and check every length before memory is taken for it. They need the standard library only,
so that a relay or a reader thread pays for nothing else.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from gadget.errors import StreamError
from gadget.stream.wire.body import Body, Source
from gadget.stream.wire.messages import (
    ACQUISITION_HEADER_BYTES,
    BUCKET_META_BYTES,
    BUCKET_STATISTICS,
    IMAGE_HEADER_BYTES,
    IMAGE_ITEM_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_READOUT_BYTES,
    MAX_TEXT_BYTES,
    SAMPLING_BYTES,
    UINT16,
    UINT32,
    UINT64,
    WAVEFORM_HEADER_BYTES,
    Message,
    MessageId,
)

FILENAME_BYTES = 1024
COMPLEX_BYTES = 8
FLOAT_BYTES = 4
COMPRESSED = 0b11 << 52
"""ACQ_COMPRESSION1 and ACQ_COMPRESSION2 among the flags of a readout."""

# Offsets into the packed ISMRMRD headers.
_ACQUISITION = struct.Struct("<2xQ24xH2xH136xH")
"""Flags, and numbers of samples, coils and dimensions of the trajectory."""
_WAVEFORM_SAMPLES = struct.Struct("<28xHH")
_IMAGE_TYPE = 2
_IMAGE_MATRIX = struct.Struct("<16xHHH12xH")


def _acquisition(body: Body) -> None:
    bits, *sizes = body.unpack_at(_ACQUISITION, body.take(ACQUISITION_HEADER_BYTES))
    if bits & COMPRESSED:
        # Its header does not tell its length: what follows would be taken for anything.
        raise StreamError(
            "A readout is flagged as compressed, which neither this package nor Gadgetron's reader "
            "understands: send the data without the options -P and -T of Gadgetron's client."
        )
    body.take(_samples_bytes(*sizes))


def _samples_bytes(samples: int, channels: int, trajectory: int) -> int:
    """Return the length of the trajectory and samples of a readout."""
    return samples * (trajectory * FLOAT_BYTES + channels * COMPLEX_BYTES)


def _waveform(body: Body) -> None:
    _waveform_samples(body, body.take(WAVEFORM_HEADER_BYTES))


def _waveform_samples(body: Body, header: int) -> None:
    samples, channels = body.unpack_at(_WAVEFORM_SAMPLES, header)
    body.take(samples * channels * 4)


def _image(body: Body) -> None:
    start = body.take(IMAGE_HEADER_BYTES)
    kind = body.number_at(UINT16, start + _IMAGE_TYPE)
    if kind not in IMAGE_ITEM_BYTES:
        raise StreamError(f"An image has the data type {kind}, ISMRMRD knows 1 to 8.")
    shape = body.unpack_at(_IMAGE_MATRIX, start)
    _text(body, UINT64)
    body.take(math.prod(shape) * IMAGE_ITEM_BYTES[kind])


def _text(body: Body, form: struct.Struct = UINT32) -> None:
    length = body.number(form)
    if length > MAX_TEXT_BYTES:
        raise StreamError(
            f"A text of {length} bytes is announced, more than the {MAX_TEXT_BYTES} that are "
            "allowed: the two ends disagree about the format."
        )
    body.take(length)


def _query(body: Body) -> None:
    body.take(2 * UINT64.size)
    _text(body, UINT64)


def _response(body: Body) -> None:
    body.take(UINT64.size)
    _text(body, UINT64)


def _recon_buffer(body: Body) -> None:
    body.array(COMPLEX_BYTES)
    for _ in ("trajectory", "density"):
        if body.flag():
            body.array(FLOAT_BYTES)
    body.array(ACQUISITION_HEADER_BYTES)
    body.take(SAMPLING_BYTES)


def _recon_data(body: Body) -> None:
    for _ in range(body.number(UINT64)):
        _recon_buffer(body)
        if body.flag():
            _recon_buffer(body)


def _image_array(body: Body) -> None:
    body.array(COMPLEX_BYTES)
    body.array(IMAGE_HEADER_BYTES)
    for _ in range(body.number(UINT64)):
        _text(body, UINT64)
    if body.flag():
        for _ in range(body.number(UINT64)):
            _waveform(body)
    if body.flag():
        body.array(ACQUISITION_HEADER_BYTES)


def _bucket(body: Body) -> None:
    meta = body.unpack_at(struct.Struct("<13Q"), body.take(BUCKET_META_BYTES))
    _bundle(body, meta[0])
    _statistics(body)
    _bundle(body, meta[4])
    _statistics(body)
    for header in [body.take(WAVEFORM_HEADER_BYTES) for _ in range(meta[10])]:
        _waveform_samples(body, header)


def _bundle(body: Body, count: int) -> None:
    start = body.take(count * ACQUISITION_HEADER_BYTES)
    for header in range(start, start + count * ACQUISITION_HEADER_BYTES, ACQUISITION_HEADER_BYTES):
        _, *sizes = body.unpack_at(_ACQUISITION, header)
        body.take(_samples_bytes(*sizes))


def _statistics(body: Body) -> None:
    for _ in range(body.number(UINT64)):
        for _ in range(BUCKET_STATISTICS):
            body.take(body.number(UINT64) * UINT16.size)


_READERS: dict[MessageId, tuple[Callable[[Body], object], int]] = {
    MessageId.FILENAME: (lambda body: body.take(FILENAME_BYTES), FILENAME_BYTES),
    MessageId.CONFIG: (_text, MAX_MESSAGE_BYTES),
    MessageId.HEADER: (_text, MAX_MESSAGE_BYTES),
    MessageId.CLOSE: (lambda _: None, 0),
    MessageId.TEXT: (_text, MAX_MESSAGE_BYTES),
    MessageId.QUERY: (_query, MAX_MESSAGE_BYTES),
    MessageId.RESPONSE: (_response, MAX_MESSAGE_BYTES),
    MessageId.ERROR: (lambda body: _text(body, UINT64), MAX_MESSAGE_BYTES),
    MessageId.ACQUISITION: (_acquisition, MAX_READOUT_BYTES),
    MessageId.IMAGE: (_image, MAX_MESSAGE_BYTES),
    MessageId.RECON_DATA: (_recon_data, MAX_MESSAGE_BYTES),
    MessageId.IMAGE_ARRAY: (_image_array, MAX_MESSAGE_BYTES),
    MessageId.WAVEFORM: (_waveform, MAX_READOUT_BYTES),
    MessageId.BUCKET: (_bucket, MAX_MESSAGE_BYTES),
}


def read_message(number: int, source: Source) -> Message:
    """Read the body of message `number`.

    Raises
    ------
    StreamError
        The number is not known, or a length is not allowed.
    Exception
        Whatever the source raises when it ends early.
    """
    try:
        message_id = MessageId(number)
    except ValueError:
        raise StreamError(
            f"A message with the unknown number {number} arrived. Its length cannot be known, so "
            "nothing after it can be read: send only "
            + ", ".join(known.title for known in MessageId)
            + "."
        ) from None
    walk, limit = _READERS[message_id]
    body = Body(source, message_id.title, limit)
    walk(body)
    return Message(message_id, body.data)

"""Encoding and decoding of messages.

Decoded arrays are writable: views of the message's own memory where its alignment allows, copies
elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import ismrmrd

from gadget.errors import StreamError
from gadget.mrd.buffers.recon_data import AcquisitionBucket, ReconData
from gadget.mrd.readouts.acquisition import header_kind
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.stream.wire.bucket_codec import decode_bucket, encode_bucket
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.image_codec import decode_image, encode_image
from gadget.stream.wire.messages import (
    ACQUISITION_HEADER_BYTES,
    UINT16,
    Message,
    MessageId,
)
from gadget.stream.wire.parts import Part
from gadget.stream.wire.readout_codec import (
    decode_acquisition,
    decode_block,
    decode_waveform,
    encode_acquisition,
    encode_waveform,
)
from gadget.stream.wire.recon_data_codec import decode_recon_data, encode_recon_data

Item: TypeAlias = (
    ismrmrd.Acquisition | ismrmrd.Waveform | ismrmrd.Image | ReconData | AcquisitionBucket | Message
)
"""What a node receives and sends. An image array is not decoded."""


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
    cursor = Cursor(message.payload, message.id.title)
    item = decoder(cursor)
    cursor.expect_end()
    return item


def decode_in_blocks(messages: Iterable[Message]) -> Iterator[Item | ReadoutBlock]:
    """Yield the objects that data messages hold, readouts in a row of one kind as a block.

    Raises
    ------
    StreamError
        As `decode`; after what came before.
    """
    for kind, group in itertools.groupby(messages, _readout_kind):
        alike = list(group)
        first: Any = decode(alike[0])
        if kind is None or len(alike) == 1 or first.trajectory_dimensions:
            yield first
            yield from map(decode, alike[1:])
        else:
            yield decode_block([message.payload for message in alike], first.data.shape)


def _readout_kind(message: Message) -> tuple[int, bytes] | None:
    """Return what messages with readouts of one kind have in common."""
    if message.id is not MessageId.ACQUISITION:
        return None
    return len(message.payload), header_kind(message.payload[:ACQUISITION_HEADER_BYTES])


def encode(item: Item | ReadoutBlock) -> list[Part]:
    """Return the parts of a message, number and body; of a block, those of several messages.

    Raises
    ------
    StreamError
        Gadgetron could not read such an object.
    """
    if isinstance(item, ReadoutBlock):
        return [part for readout in item for part in encode(readout)]
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


_DECODERS: dict[MessageId, Callable[[Cursor], Item]] = {
    MessageId.ACQUISITION: decode_acquisition,
    MessageId.WAVEFORM: decode_waveform,
    MessageId.IMAGE: decode_image,
    MessageId.RECON_DATA: decode_recon_data,
    MessageId.BUCKET: decode_bucket,
}
_ENCODERS: list[tuple[type[Any], MessageId, Callable[[Any], list[Part]]]] = [
    (ismrmrd.Acquisition, MessageId.ACQUISITION, encode_acquisition),
    (ismrmrd.Waveform, MessageId.WAVEFORM, encode_waveform),
    (ismrmrd.Image, MessageId.IMAGE, encode_image),
    (ReconData, MessageId.RECON_DATA, encode_recon_data),
    (AcquisitionBucket, MessageId.BUCKET, encode_bucket),
]

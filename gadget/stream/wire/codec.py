"""Encoding and decoding of messages.

Decoded arrays are writable: views of the message's own memory where its alignment allows, copies
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import ismrmrd

from gadget.errors import StreamError
from gadget.mrd.buffers.recon_data import AcquisitionBucket, ReconData
from gadget.stream.wire.bucket_codec import decode_bucket, encode_bucket
from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.image_codec import decode_image, encode_image
from gadget.stream.wire.messages import UINT16, Message, MessageId
from gadget.stream.wire.parts import Part
from gadget.stream.wire.readout_codec import (
    decode_acquisition,
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

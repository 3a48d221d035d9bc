"""Messages of Gadgetron's protocol: numbers, sizes and limits.

A message is a little-endian uint16, its number, and then its body. Nothing says how long a body is:
that follows from what is in it (see `gadget.stream.wire.framing`).
"""

from __future__ import annotations

import functools
import struct
from enum import IntEnum
from typing import NamedTuple


class MessageId(IntEnum):
    """Numbers of the messages that this package knows; from `ACQUISITION` on they carry data."""

    FILENAME = 1
    CONFIG = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    QUERY = 6
    RESPONSE = 7
    ERROR = 8
    ACQUISITION = 1008
    IMAGE = 1022
    RECON_DATA = 1023
    IMAGE_ARRAY = 1024
    WAVEFORM = 1026
    BUCKET = 1050

    @functools.cached_property
    def title(self) -> str:
        """Name and number."""
        return f"{self.name} ({self.value})"


class Message(NamedTuple):
    """One message, not decoded."""

    id: MessageId
    payload: bytes | bytearray
    """Body without the number; the receiver owns it."""


UINT16 = struct.Struct("<H")
UINT32 = struct.Struct("<I")
UINT64 = struct.Struct("<Q")

ACQUISITION_HEADER_BYTES = 340
IMAGE_HEADER_BYTES = 198
WAVEFORM_HEADER_BYTES = 40
SAMPLING_BYTES = 56
BUCKET_META_BYTES = 13 * 8
BUCKET_STATISTICS = 9
"""Counters whose values a bucket lists for each encoding."""

IMAGE_ITEM_BYTES = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4, 6: 8, 7: 8, 8: 16}
"""Bytes of one pixel for each ISMRMRD data type."""

MAX_MESSAGE_BYTES = 32 * 2**30
"""Largest message; 64 coils of a 512 x 512 x 128 volume take half of it."""
MAX_READOUT_BYTES = 2**30
MAX_TEXT_BYTES = 64 * 2**20
MAX_DIMENSIONS = 16

_TEXT_HEADS = {
    MessageId.CONFIG: UINT32,
    MessageId.HEADER: UINT32,
    MessageId.TEXT: UINT32,
    MessageId.QUERY: struct.Struct("<16xQ"),
    MessageId.RESPONSE: struct.Struct("<8xQ"),
    MessageId.ERROR: UINT64,
}
"""Format of the length before the text of a message, after other numbers in two of them."""


def text_message(message_id: MessageId, text: bytes) -> bytes:
    """Return a message that holds a text, number and body."""
    return UINT16.pack(message_id) + _TEXT_HEADS[message_id].pack(len(text)) + text


def response(query: Message, text: bytes) -> bytes:
    """Return the RESPONSE message to a query, with its identifier."""
    identifier = query.payload[UINT64.size : 2 * UINT64.size]
    return UINT16.pack(MessageId.RESPONSE) + identifier + UINT64.pack(len(text)) + text


def raw_text_of(message: Message) -> bytes:
    """Return the text of a message as bytes; of messages without a text the whole body."""
    head = _TEXT_HEADS.get(message.id)
    return bytes(message.payload[head.size if head else 0 :])


def text_of(message: Message) -> str:
    """Return the text of a message, up to the NUL that FIRE appends."""
    return raw_text_of(message).split(b"\0", 1)[0].decode("utf-8", "replace").strip()

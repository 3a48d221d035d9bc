"""Bytes as they travel, for tests that look at them."""

from __future__ import annotations

from collections.abc import Iterator

from gadget.stream.wire.cursor import Cursor
from gadget.stream.wire.framing import read_message
from gadget.stream.wire.messages import UINT16, Message


def messages_in(data: bytes | bytearray) -> Iterator[Message]:
    """Split bytes that hold whole messages, of a recording for example."""
    cursor = Cursor(data, "sequence of messages")
    while not cursor.at_end():
        yield read_message(cursor.number(UINT16), cursor)

"""Streams of readouts, cut into the blocks that they may arrive in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import ismrmrd
from wire_bytes import messages_in

from gadget.mrd.readouts.block import ReadoutBlock
from gadget.stream.wire.codec import decode_in_blocks, encode_bytes


def cut(
    readouts: Iterable[ismrmrd.Acquisition], sizes: Iterable[int]
) -> Iterator[ismrmrd.Acquisition | ReadoutBlock]:
    """Yield readouts as a session does when they come so many at a time, again and again."""
    stream = iter(readouts)
    for size in itertools.cycle(sizes):
        wire = b"".join(map(encode_bytes, itertools.islice(stream, size)))
        if not wire:
            return
        yield from decode_in_blocks(messages_in(wire))

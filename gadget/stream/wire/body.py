"""The body of a message, read piece by piece.

It needs the standard library only, as `gadget.stream.wire.framing`.
"""

from __future__ import annotations

import math
import struct
from typing import Protocol

from gadget.errors import StreamError
from gadget.stream.wire.messages import MAX_DIMENSIONS, UINT64


class Source(Protocol):
    """Where bytes come from."""

    def append_to(self, data: bytearray, count: int) -> None:
        """Append the next `count` bytes, piece by piece as they arrive, or raise `StreamError`."""


class Body:
    """A body being read: memory grows with what has arrived, not with announced lengths."""

    def __init__(self, source: Source, name: str, limit: int) -> None:
        self.data = bytearray()
        self._source = source
        self._name = name
        self._limit = limit

    def take(self, count: int) -> int:
        """Read `count` bytes more and return their offset."""
        start = len(self.data)
        end = start + count
        if end > self._limit:
            raise StreamError(
                f"A message {self._name} claims {end} bytes, more than the {self._limit} that are "
                "allowed: the data are damaged or are not what the other end says they are."
            )
        self._source.append_to(self.data, count)
        return start

    def number(self, form: struct.Struct) -> int:
        """Read one integer."""
        return self.number_at(form, self.take(form.size))

    def number_at(self, form: struct.Struct, offset: int) -> int:
        """Return one integer of what was read before."""
        return int(form.unpack_from(self.data, offset)[0])

    def unpack_at(self, form: struct.Struct, offset: int) -> tuple[int, ...]:
        """Return several integers of what was read before."""
        return form.unpack_from(self.data, offset)

    def flag(self) -> bool:
        """Read one boolean."""
        start = self.take(1)
        value = self.data[start]
        if value > 1:
            raise StreamError(
                f"A message {self._name} has {value} where 0 or 1 was expected: the data are "
                "damaged or the two ends disagree about the format."
            )
        return value == 1

    def array(self, item_bytes: int) -> None:
        """Read an array: number of dimensions, dimensions, items."""
        count = self.number(UINT64)
        if count > MAX_DIMENSIONS:
            raise StreamError(
                f"A message {self._name} has an array of {count} dimensions, at most "
                f"{MAX_DIMENSIONS} were expected: the two ends disagree about the format."
            )
        start = self.take(count * UINT64.size)
        shape = self.unpack_at(struct.Struct(f"<{count}Q"), start)
        self.take(item_bytes * math.prod(shape) if count else 0)

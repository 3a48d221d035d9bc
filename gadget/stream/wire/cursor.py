"""A cursor over bytes in memory, with checks."""

from __future__ import annotations

import ctypes
import math
import struct
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gadget.errors import StreamError

_Structure = TypeVar("_Structure", bound=ctypes.Structure)


class Cursor:
    """A position in the body of a message.

    Parameters
    ----------
    data
        The bytes; arrays taken from a bytearray share its memory and are writable.
    name
        What the bytes are, for messages.
    """

    def __init__(self, data: bytes | bytearray | memoryview, name: str) -> None:
        self._data = memoryview(data)
        self._name = name
        self._position = 0

    def take(self, count: int) -> memoryview:
        """Return the next `count` bytes without copying them."""
        end = self._position + count
        if end > len(self._data):
            raise StreamError(
                f"A {self._name} ends after {len(self._data)} bytes where at least {end} were "
                "expected: it is truncated or damaged."
            )
        part = self._data[self._position : end]
        self._position = end
        return part

    def append_to(self, data: bytearray, count: int) -> None:
        """Append the next `count` bytes to others."""
        data += self.take(count)

    def number(self, form: struct.Struct) -> int:
        """Return the next integer."""
        return int(form.unpack(self.take(form.size))[0])

    def flag(self) -> bool:
        """Return the next boolean."""
        return self.take(1)[0] != 0

    def structure(self, kind: type[_Structure]) -> _Structure:
        """Return a copy of the next structure."""
        return kind.from_buffer_copy(self.take(ctypes.sizeof(kind)))

    def array(self, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the next array `shape`, writable."""
        kind = np.dtype(dtype)
        part = self.take(math.prod(shape) * kind.itemsize)
        flat = np.frombuffer(part, kind)
        if not (flat.flags.writeable and flat.flags.aligned):
            flat = flat.copy()
        try:
            return flat.reshape(shape)
        except ValueError:  # an axis of length 0 hides how long the others are
            raise StreamError(
                f"A {self._name} holds an array of {list(shape)}: no such array can be."
            ) from None

    def at_end(self) -> bool:
        """Whether everything was read."""
        return self._position == len(self._data)

    def expect_end(self) -> None:
        """Raise `StreamError` unless everything was read."""
        if not self.at_end():
            raise StreamError(
                f"A {self._name} has {len(self._data)} bytes where {self._position} were expected: "
                "it is damaged."
            )

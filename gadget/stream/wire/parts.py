"""Parts of a message, which are written one after the other without being joined."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Part: TypeAlias = bytes | bytearray | memoryview


def memory_of(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order, without copying them where it has that order."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1).data

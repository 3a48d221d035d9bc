"""Numbers in words."""

from __future__ import annotations


def counted(number: int, name: str) -> str:
    """Return a number of things: `1 image`, `2 images`."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"

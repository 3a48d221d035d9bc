"""Numbers in words, and names in letters."""

from __future__ import annotations


def counted(number: int, name: str) -> str:
    """Return a number of things: `1 image`, `2 images`."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def in_letters(name: object) -> str:
    """Return the name of a file, which may hold any bytes, as a text that can be written."""
    return str(name).encode("utf-8", "replace").decode()

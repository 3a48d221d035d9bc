"""Plurals, and file names that can be encoded."""

from __future__ import annotations


def pluralize(number: int, noun: str) -> str:
    """Return a count with its noun: `1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def encodable(name: object) -> str:
    """Return a file name, which may hold any bytes, as text that can be encoded in UTF-8."""
    return str(name).encode("utf-8", "replace").decode()

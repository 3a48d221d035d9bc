"""How far a sampler is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished steps and of all steps."""


def silent(done: int, steps: int) -> None:
    """Tell nobody."""

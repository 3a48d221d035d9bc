"""Progress callbacks of samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished steps and of all steps."""


def no_progress(done: int, steps: int) -> None:
    """Ignore the progress."""

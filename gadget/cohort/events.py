"""Events that a running task reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Started:
    """The task has started, perhaps again."""


@dataclass(frozen=True)
class Status:
    """Progress of the task."""

    images: int
    expected: int
    """Images that the readouts so far belong to."""
    fraction: float
    """Fraction of the work that is done, 0 to 1."""


@dataclass(frozen=True)
class Logged:
    """A line of the log."""

    level: int
    logger: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """Result of the task: the last event."""

    summary: str
    """Number of images as text, or the error message."""
    images: int = 0
    """Images in the output."""
    failed: bool = False
    seconds: float = 0.0
    """Time that the task took [s]."""


Event: TypeAlias = Started | Status | Logged | Outcome

"""What a task tells while it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Started:
    """The task is being carried out from now on, perhaps again."""


@dataclass(frozen=True)
class Status:
    """How far the task is."""

    images: int
    expected: int
    """Images that the readouts so far belong to."""
    share: float
    """Of the work that is done, 0 to 1."""


@dataclass(frozen=True)
class Logged:
    """A line of the log."""

    level: int
    logger: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """How the task has ended: the last event."""

    summary: str
    """What came out, or the sentence that the task failed with."""
    images: int = 0
    """Images in the output."""
    failed: bool = False
    seconds: float = 0.0
    """Time that the task took [s]."""


Event: TypeAlias = Started | Status | Logged | Outcome

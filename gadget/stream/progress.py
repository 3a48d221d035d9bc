"""Progress of a node, as lines on standard error that the embedded host parses."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

WANTED = "SCORE_GADGET_PROGRESS"
"""Variable of the environment that a host sets which reads them; a Gadgetron's log would fill."""
PREFIX = "score-gadget-progress "
INTERVAL_SECONDS = 0.1

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Progress:
    """Progress of a node."""

    node: str
    text: str
    fields: dict[str, Value] = field(default_factory=dict)
    """Numbers behind the text, for example `done` and `total`."""

    @property
    def steps(self) -> tuple[int, int]:
        """Steps done and in total; zeros if the node does not count steps."""
        done, total = self.fields.get("done"), self.fields.get("total")
        if isinstance(done, int | float) and isinstance(total, int | float) and total > 0:
            return int(done), int(total)
        return 0, 0


class ProgressWriter:
    """Writes progress lines where they are wanted, at most ten a second with the same text.

    Parameters
    ----------
    node
        Name of the node.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._wanted = WANTED in os.environ
        self._text = ""
        self._time = float("-inf")

    def write(self, text: str, fields: dict[str, Value]) -> None:
        """Write the progress; the last step, `done == total`, is always written."""
        if not self._wanted:
            return
        now = time.monotonic()
        last = "total" in fields and fields.get("done") == fields["total"]
        if text == self._text and now - self._time < INTERVAL_SECONDS and not last:
            return
        self._text, self._time = text, now
        line = json.dumps({"node": self._node, "text": text, "fields": fields})
        # A log that is closed, or whose disk is full, must not cost an image.
        if sys.stderr is not None:
            with suppress(OSError):
                sys.stderr.write(f"{PREFIX}{line}\n")
                sys.stderr.flush()


def parse_progress(line: str) -> Progress | None:
    """Parse a line of a node's standard error; None if it is no progress."""
    if not line.startswith(PREFIX):
        return None
    try:
        content = json.loads(line[len(PREFIX) :])
        return Progress(content["node"], content["text"], content["fields"])
    except (ValueError, KeyError, TypeError):
        return None

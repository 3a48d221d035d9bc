"""Files that a training skips: logged one by one, and counted."""

from __future__ import annotations

import logging
from pathlib import Path

from gadget import errors

log = logging.getLogger(__name__)


class SkippedFiles:
    """Counts the files that cannot be used and logs the reason of each."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, path: Path, reason: Exception, files: int = 1) -> None:
        """Log a skipped file in one line, or the first of several with the same reason."""
        self.count += files
        name = printable(path) + (f" with {files - 1} more of its series" if files > 1 else "")
        if isinstance(reason, MemoryError) and not str(reason):
            text = "there is too little memory for it"
        elif isinstance(reason, OSError) and reason.errno:
            text = errors.reason(reason)
        else:
            text = " ".join(str(reason).split()) or type(reason).__name__
        log.warning("%s is left out: %s", name, text)


def printable(path: Path) -> str:
    """Return a path with unprintable characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))

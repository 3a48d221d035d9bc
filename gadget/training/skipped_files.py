"""What a training skips: logged one by one; files are counted, too."""

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
        others = f" with {files - 1} more of its series" if files > 1 else ""
        log_skipped(f"{path}{others}", reason)


def log_skipped(what: str, reason: Exception) -> None:
    """Log in one line what is skipped, and why; unprintable characters are escaped."""
    if isinstance(reason, MemoryError) and not str(reason):
        text = "there is too little memory for it"
    elif isinstance(reason, OSError) and reason.errno:
        text = errors.reason(reason)
    else:
        text = " ".join(str(reason).split()) or type(reason).__name__
    name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in what)
    log.warning("%s is left out: %s", name, text)

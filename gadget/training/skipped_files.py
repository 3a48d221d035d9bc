"""What a training skips: logged one by one; files are counted, too."""

from __future__ import annotations

import logging
from pathlib import Path

from gadget.errors import reason

log = logging.getLogger(__name__)


class SkippedFiles:
    """Counts the files that cannot be used and logs the reason of each."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, path: Path, error: Exception, files: int = 1) -> None:
        """Log a skipped file in one line, or the first of several with the same reason."""
        self.count += files
        others = f" with {files - 1} more of its series" if files > 1 else ""
        log_skipped(f"{path}{others}", error)


def log_skipped(what: str, error: Exception) -> None:
    """Log in one line what is skipped, and why; unprintable characters are escaped."""
    if isinstance(error, MemoryError) and not str(error):
        text = "there is too little memory for it"
    elif isinstance(error, OSError) and error.errno:
        text = reason(error)
    else:
        text = " ".join(str(error).split()) or type(error).__name__
    name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in what)
    log.warning("%s is left out: %s", name, text)

"""What a training leaves out of a folder: told file by file, and counted."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)


class Omissions:
    """The files that cannot be used, each named in the log with the reason."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, path: Path, reason: Exception, files: int = 1) -> None:
        """Name a file that is left out, in one line; or the first of several for one reason."""
        self.count += files
        name = str(path) if files == 1 else f"{path} with {files - 1} more of its series"
        text = " ".join(str(reason).split()) or type(reason).__name__
        log.warning("%s is left out: %s", name, text)

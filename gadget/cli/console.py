"""Where the commands write: results to standard output, all the rest to standard error."""

from __future__ import annotations

import io
import logging
import os
import sys

from rich.console import Console
from rich.logging import RichHandler

console = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def say(text: str) -> None:
    """Write a line of a command's result."""
    results.print(text, markup=False, emoji=False, soft_wrap=True)


def complain(text: str) -> None:
    """Write the sentence that a command fails with."""
    console.print(f"score-gadget: {text}", style="red", markup=False, emoji=False, soft_wrap=True)


def write_any_name() -> None:
    """Let results hold any letters: those that standard output lacks become question marks.

    Names of files may be of another encoding, or of none.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def set_up_logging(verbose: bool) -> None:
    """Log to standard error: in colour beside a progress bar on a terminal, else plain lines."""
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False, show_time=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("gadget").setLevel(logging.DEBUG if verbose else logging.INFO)
    if verbose:
        os.environ.setdefault("GADGETRON_EXTERNAL_LOG_LEVEL", "DEBUG")
    elif console.is_terminal:
        # The bar shows how far the nodes are; their warnings and errors still come through.
        logging.getLogger("gadget.node").setLevel(logging.WARNING)

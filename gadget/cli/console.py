"""Output of the commands: results to standard output, all the rest to standard error."""

from __future__ import annotations

import io
import logging
import os
import sys

from rich.console import Console
from rich.logging import RichHandler

LINE_SECONDS = 10.0
"""Least time between two log lines of progress, where there is no terminal for a bar."""

console = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def print_result(text: str) -> None:
    """Print a line of a command's result."""
    results.print(text, markup=False, emoji=False, soft_wrap=True)


def print_error(text: str) -> None:
    """Print the error message of a command."""
    console.print(f"score-gadget: {text}", style="red", markup=False, emoji=False, soft_wrap=True)


def replace_unencodable() -> None:
    """Replace characters that standard output cannot encode by question marks.

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
        # The bar shows the progress of the nodes; their warnings and errors are still logged.
        logging.getLogger("gadget.node").setLevel(logging.WARNING)

"""Entry point of the command `score-gadget`."""

from __future__ import annotations

INTERRUPTED = 130
"""Exit status after Ctrl-C. Importing `signal` for its number would already be late."""


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback while it is still being imported."""
    try:
        from gadget.cli.main import main as run
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    run()

"""The command line, started as a process of its own."""

from __future__ import annotations

import sys

COMMAND = [sys.executable, "-c", "from gadget.cli.start import main; main()"]

"""The command line, started as a process of its own."""

import sys

COMMAND = [sys.executable, "-c", "from gadget.cli.main import main; main()"]

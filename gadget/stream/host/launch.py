"""Start a Python process that ends when the process that started it ends.

Run as a file: `python -I -S launch.py PARENT_PID ARGUMENTS...` becomes `python ARGUMENTS...`. Where
the kernel offers it (Linux) the new process is killed with its parent, even by SIGKILL; elsewhere
a node notices that its connection has ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def command(*arguments: str) -> list[str]:
    """Return what starts Python with these arguments, as a child of this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *arguments]


def ending(status: int) -> str:
    """Say in words how a process with this exit status has ended."""
    if status == -signal.SIGKILL:
        return "was killed (SIGKILL: the machine may be out of memory)"
    if status < 0:
        names = {one.value: one.name for one in signal.Signals}
        return f"was ended by {names.get(-status, f'signal {-status}')}"
    return f"ended with status {status}"


def main(parent: int, arguments: list[str]) -> None:
    """Tie this process to `parent` and turn it into Python with these arguments."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            raise SystemExit(1)
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

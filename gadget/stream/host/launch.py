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
_RUN_MODULE = (
    "import sys; sys.path[:] = filter(None, sys.path); import runpy; del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def command(*arguments: str) -> list[str]:
    """Return what starts Python with these arguments, as a child of this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *arguments]


def module_command(module: str, *arguments: str) -> list[str]:
    """Return what starts a module of this package, as a child of this process.

    As `python -m` does it, but without the current folder on the search path: raw data lie there,
    and perhaps scripts with the names of libraries. Python 3.10 lacks an option for that.
    """
    return command("-c", _RUN_MODULE, module, *arguments)


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

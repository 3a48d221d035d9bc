"""A task in a process of its own, on the side of the caller."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from gadget.cohort.events import Event, Outcome
from gadget.cohort.recipe import Recipe
from gadget.cohort.task import Task
from gadget.cohort.worker import TaskRequest
from gadget.stream.host import launch

TERMINATE_SECONDS = 15.0

log = logging.getLogger(__name__)


class Job:
    """Starts a process that carries out a task; `close` it at the end.

    The process ends with this one, however that ends.

    Parameters
    ----------
    task, recipe
        What is to be done.
    environment
        Variables for the process and its nodes, beside those of this process.
    """

    def __init__(
        self, task: Task, recipe: Recipe, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.task = task
        self._started = time.monotonic()
        self.connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                launch.module_command("gadget.cohort.worker", str(theirs.fileno())),
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C is for the process that gives the work out; it ends its jobs in order.
                start_new_session=True,
            )
        with suppress(OSError):  # a process that is gone already is reported by `read`
            # A line for each image of each file would be too many.
            level = logging.DEBUG if log.isEnabledFor(logging.DEBUG) else logging.WARNING
            self.connection.send(TaskRequest(task, recipe, level))

    def read(self) -> Event:
        """Wait for the next event and return it; the last one is an `Outcome`."""
        try:
            event: Event = self.connection.recv()
        except (EOFError, OSError):
            seconds = time.monotonic() - self._started
            return Outcome(f"Its process {self._ending()}.", failed=True, seconds=seconds)
        return event

    def terminate(self) -> None:
        """Ask the process to end; images of the task that are not complete are lost."""
        # What waits for room in the connection would not hear it.
        self.connection.close()
        self._process.terminate()

    def close(self) -> None:
        """Wait for the end of the process; kill it if it does not come."""
        self.connection.close()
        try:
            self._process.wait(TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ending(self) -> str:
        self.close()
        status = self._process.returncode
        ending = launch.ending(status)
        if status == -signal.SIGKILL:
            return ending
        if status < 0:
            return f"{ending}: the file may be damaged"
        return f"{ending}; its last words are above"

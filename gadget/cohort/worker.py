"""A process that runs one task: `python -m gadget.cohort.worker FILE_DESCRIPTOR`.

A file that crashes it, or exhausts its memory, affects no other file.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import FrameType
from typing import NoReturn

from gadget.cohort.events import Event, Logged
from gadget.cohort.recipe import Recipe
from gadget.cohort.task import Task, run_task


@dataclass(frozen=True)
class TaskRequest:
    """What a worker needs to run a task."""

    task: Task
    recipe: Recipe
    level: int
    """Lowest level of the log records that are sent back."""


class _EventSender:
    """Sends events to the caller, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        with self._lock:
            self._connection.send(event)


class _LogForwarder(logging.Handler):
    """Sends log records to the caller."""

    def __init__(self, sender: _EventSender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # nobody listens any more
            self._sender.send(Logged(record.levelno, record.name, self.format(record)))


def main(connection: Connection) -> None:
    """Run the task that comes on a connection and send its events back."""
    signal.signal(signal.SIGTERM, _terminate)
    request: TaskRequest = connection.recv()
    sender = _EventSender(connection)
    logging.basicConfig(
        format="%(message)s", level=logging.WARNING, handlers=[_LogForwarder(sender)]
    )
    logging.captureWarnings(True)
    logging.getLogger("gadget").setLevel(request.level)
    sender.send(run_task(request.task, request.recipe, sender.send))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as back:
        main(back)

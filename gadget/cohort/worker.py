"""A process that carries out one task: `python -m gadget.cohort.worker FILE_DESCRIPTOR`.

A file that crashes it, or that the system kills it for, costs no other file.
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
from gadget.cohort.task import Task, carry_out


@dataclass(frozen=True)
class Order:
    """What a worker gets."""

    task: Task
    recipe: Recipe
    level: int
    """Lowest level of the log that is told."""


class _Line:
    """The way back for events, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, event: Event) -> None:
        with self._lock:
            self._connection.send(event)


class _Forwarder(logging.Handler):
    """Sends the log to where the task came from."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # nobody listens any more
            self._line.send(Logged(record.levelno, record.name, self.format(record)))


def main(connection: Connection) -> None:
    """Carry out the task that comes on a connection and send back what is to be told."""
    signal.signal(signal.SIGTERM, _terminate)
    order: Order = connection.recv()
    line = _Line(connection)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[_Forwarder(line)])
    logging.captureWarnings(True)
    logging.getLogger("gadget").setLevel(order.level)
    line.send(carry_out(order.task, order.recipe, line.send))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as back:
        main(back)

"""What the commands that serve have in common: their log and their end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from gadget.cli.console import complain, console
from gadget.errors import StreamError
from gadget.stream.wire.address import Address

KILLED = 128

log = logging.getLogger(__name__)


def log_as_a_server() -> None:
    """Write log lines with their time and the scan that they are about."""
    handler = logging.StreamHandler(console.file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gadget.node").setLevel(logging.NOTSET)


def warn_if_open(address: Address) -> None:
    """Warn of an address that is not of this machine alone."""
    if not address.is_loopback:
        log.warning(
            "%s can be reached from other machines, and whoever reaches it is served: there are no "
            "passwords. Let a firewall choose who that is.",
            address,
        )


@contextmanager
def ended_at_once() -> Iterator[None]:
    """End the process at a signal without taking the interpreter apart.

    Threads that compute would hold that up, or crash it.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end(KILLED + signal.SIGINT)
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else 1)


def serve_to_the_end(serve: Callable[[], None]) -> None:
    """Run a server; end with status 1 if it has to cut somebody off."""
    try:
        serve()
    except StreamError as error:
        complain(str(error))
        _end(1)


def _end(status: int) -> NoReturn:
    logging.shutdown()
    os._exit(status)


def obey_signals(stop: Callable[[], object]) -> None:
    """Call `stop` at the first SIGTERM or Ctrl-C, and end at once at the second."""
    stopping = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            os._exit(KILLED + number)
        stopping = True
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)

"""Logging and shutdown of the commands that run servers."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from gadget.cli.console import console, print_error
from gadget.cli.signals import handle_signals
from gadget.errors import StreamError
from gadget.stream.wire.address import Address

SIGNAL_STATUS = 128

log = logging.getLogger(__name__)


def set_up_server_logging() -> None:
    """Log with time stamps and the name of the scan."""
    handler = logging.StreamHandler(console.file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gadget.node").setLevel(logging.NOTSET)


def warn_if_public(address: Address) -> None:
    """Warn of an address that other machines can reach."""
    if not address.is_loopback:
        log.warning(
            "%s can be reached from other machines, and whoever reaches it is served: there are no "
            "passwords. Let a firewall choose who that is.",
            address,
        )


@contextmanager
def immediate_exit() -> Iterator[None]:
    """Exit at a signal without Python's shutdown.

    Computing threads would delay that, or crash it.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end(SIGNAL_STATUS + signal.SIGINT)
    except SystemExit as end:
        _end(end.code if isinstance(end.code, int) else 1)


def run_server(serve: Callable[[], None]) -> None:
    """Run a server; exit with status 1 if connections had to be cut off."""
    try:
        serve()
    except StreamError as error:
        print_error(str(error))
        _end(1)


def _end(status: int) -> NoReturn:
    logging.shutdown()
    os._exit(status)


def stop_on_signals(stop: Callable[[], object]) -> None:
    """Call `stop` at the first SIGTERM, Ctrl-C or SIGHUP, and exit at once at the second.

    The end of a terminal may bring several SIGHUP, which count as one.
    """
    stopping = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping and number != signal.SIGHUP:
            os._exit(SIGNAL_STATUS + number)
        if not stopping:
            stopping = True
            stop()

    handle_signals(handle, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def closed_after_an_error(listener: socket.socket) -> Iterator[None]:
    """Close the socket if what follows fails."""
    try:
        yield
    except BaseException:
        listener.close()
        raise

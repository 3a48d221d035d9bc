"""What the commands that serve have in common: their log and their end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from types import FrameType

from gadget.cli.console import console
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

"""The open connections of a server, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from gadget.errors import StreamError
from gadget.stream.wire.connection import Connection

log = logging.getLogger(__name__)

WAIT_SECONDS = 1.0
MAX_CONNECTIONS = 256
"""Limit of open connections of a server, which bounds the memory for their buffers."""
SETUP_GRACE_SECONDS = 2.0
"""Time that connections without a scan get at the end of the server."""


class OpenConnections:
    """Serves connections and knows which ones are open, and which of them have begun a scan."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified when a connection has begun or ended; lock of `all` and `begun`."""
        self.all: set[Connection] = set()
        self.begun: set[Connection] = set()

    @property
    def is_full(self) -> bool:
        """Whether there are as many as are allowed."""
        return len(self.all) >= MAX_CONNECTIONS

    def begin(self, connection: Connection) -> None:
        """Count a connection among those that have begun a scan, until it has ended."""
        with self.changed:
            self.begun.add(connection)
            self.changed.notify_all()

    def finish(self, seconds: float) -> None:
        """Wait until all scans have ended; connections that begin none soon are closed.

        Raises
        ------
        StreamError
            It takes longer than that time [s].
        """
        with self.changed:
            self._wait_for(lambda: self.all <= self.begun, min(SETUP_GRACE_SECONDS, seconds))
            for connection in self.all - self.begun:
                _close("This server ends, and no data of a scan have come.", connection)
            if not self._wait_for(lambda: not self.all, seconds):
                raise StreamError(
                    f"Scans that did not end within {seconds:g} s and are cut off: "
                    f"{len(self.begun)}."
                )

    def _wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition that changes; return whether it came true in that time [s].

        In short turns: a signal that comes just before a wait is handled after it.
        """
        end = time.monotonic() + seconds
        while not self.changed.wait_for(condition, min(seconds, WAIT_SECONDS)):
            if time.monotonic() >= end:
                return False
        return True

    def serve(
        self, connection: Connection, name: str, target: Callable[[Connection], None]
    ) -> None:
        """Call `target` in a thread of that name, which log lines bear.

        The connection is closed at the end. Errors are logged.
        """

        def run() -> None:
            try:
                target(connection)
            except Exception:  # one connection must not end the server
                log.exception("A connection could not be served.")
            finally:
                self._forget(connection)

        with self.changed:
            self.all.add(connection)
        try:
            threading.Thread(target=run, name=name, daemon=True).start()
        except RuntimeError as error:  # no more threads
            log.error("A connection could not be served (%s).", error)
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.close()
        with self.changed:
            self.all.remove(connection)
            self.begun.discard(connection)
            self.changed.notify_all()


def refuse(connection: Connection, why: str) -> None:
    """Tell the other end why there is no scan, and close the stream."""
    with suppress(StreamError):
        connection.write_error(f"score-gadget: {why}")
        connection.shut_down()


def turn_away(connection: Connection, name: str) -> None:
    """Close a connection beyond the limit."""
    log.error("%d connections are open: the %s is turned away.", MAX_CONNECTIONS, name)
    _close(f"{MAX_CONNECTIONS} connections are open, as many as this server takes.", connection)


def _close(why: str, connection: Connection) -> None:
    """Tell the other end why there is no scan, without waiting for it to close."""
    with suppress(StreamError):
        connection.write_error(f"score-gadget: {why}")
    connection.close()

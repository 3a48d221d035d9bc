"""The scans of a resident server, and those who have yet to send one."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from gadget.errors import StreamError
from gadget.stream.open_connections import OpenConnections
from gadget.stream.resident.status import Status, answer
from gadget.stream.wire.connection import IDLE_SECONDS, Connection, PeerDisconnected
from gadget.stream.wire.messages import MessageId

SETUP_SECONDS = 60.0
"""Longest wait for CONFIG and HEADER, which Gadgetron sends as soon as it is connected."""
SETUP_GRACE_SECONDS = 2.0
"""The same once the server is to end."""
MOST_CONNECTIONS = 256
"""Open at once; each may have its share of memory taken."""

log = logging.getLogger(__name__)


class Scans:
    """Greets whoever connects, and runs a session for those who send a scan.

    Parameters
    ----------
    run
        Runs a session, given its connection and the texts of CONFIG and HEADER.
    status
        Tells the status of the server.
    stall_s
        Longest silence within a message [s].
    """

    def __init__(
        self,
        run: Callable[[Connection, tuple[bytes, bytes]], None],
        status: Callable[[], Status],
        stall_s: float,
    ) -> None:
        self._run = run
        self._status = status
        self._stall_s = stall_s
        self._open = OpenConnections()
        self._begun: set[Connection] = set()
        """Those that have sent CONFIG and HEADER."""

    @property
    def begun(self) -> int:
        """Scans that have begun and have not ended."""
        return len(self._begun)

    def open(self, sock: socket.socket, name: str) -> None:
        """Serve a connection in a thread of that name, which is what the log calls the scan.

        One too many is closed at once.
        """
        if len(self._open.all) >= MOST_CONNECTIONS:
            log.error("%d connections are open: the %s is turned away.", MOST_CONNECTIONS, name)
            sock.close()
            return
        connection = Connection(sock, idle_s=SETUP_SECONDS, stall_s=self._stall_s)
        self._open.serve(connection, name, self._serve)

    def finish(self, seconds: float) -> None:
        """Wait until all scans have ended; those that have not begun soon are turned away.

        Raises
        ------
        StreamError
            It takes longer than that time [s].
        """
        changed = self._open.changed
        with changed:
            changed.wait_for(lambda: self._open.all <= self._begun, SETUP_GRACE_SECONDS)
            for stranger in self._open.all - self._begun:
                stranger.close()
            if not changed.wait_for(lambda: not self._open.all, seconds):
                raise StreamError(
                    f"Scans that did not end within {seconds:g} s and are cut off: {self.begun}."
                )

    def _serve(self, connection: Connection) -> None:
        setup = self._greet(connection)
        if setup is None:
            return
        with self._open.changed:
            self._begun.add(connection)
            self._open.changed.notify_all()
        try:
            connection.idle_s = IDLE_SECONDS
            self._run(connection, setup)
        finally:
            with self._open.changed:
                self._begun.remove(connection)

    def _greet(self, connection: Connection) -> tuple[bytes, bytes] | None:
        """Return CONFIG and HEADER, or None for whoever wants something else, or nothing."""
        try:
            first = connection.read()
            if first.id is MessageId.QUERY:
                answer(connection, first, self._status())
                return None
            return connection.read_setup(first)
        except PeerDisconnected:
            log.debug("The other end left before it sent a scan.")
        except StreamError as error:
            log.warning("%s", error)
            _turn_away(connection, str(error))
        return None


def _turn_away(connection: Connection, reason: str) -> None:
    with suppress(StreamError):
        connection.write_error(f"score-gadget: {reason}")
        connection.shut_down()

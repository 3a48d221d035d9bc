"""The connections of a resident server: scans, status queries, and those without a scan yet."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from gadget.errors import StreamError
from gadget.stream.open_connections import OpenConnections
from gadget.stream.resident.status import Status, answer_query
from gadget.stream.wire.connection import IDLE_SECONDS, Connection, PeerDisconnected
from gadget.stream.wire.messages import MessageId

SETUP_SECONDS = 60.0
"""Timeout for CONFIG and HEADER, which Gadgetron sends as soon as it is connected."""
SETUP_GRACE_SECONDS = 2.0
"""The same after `finish`."""
MAX_CONNECTIONS = 256
"""Limit of open connections, which bounds the memory for their buffers."""

log = logging.getLogger(__name__)


class Scans:
    """Reads the setup of each connection, and runs a session for those that send a scan.

    Parameters
    ----------
    run
        Runs a session, given its connection and the texts of CONFIG and HEADER.
    status
        Returns the status of the server.
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
        self._active: set[Connection] = set()
        """Connections that have sent CONFIG and HEADER."""

    @property
    def active(self) -> int:
        """Number of scans that have started and not ended."""
        return len(self._active)

    def open(self, sock: socket.socket, name: str) -> None:
        """Serve a connection in a thread of that name, which log lines bear.

        Connections beyond the limit are closed at once.
        """
        if len(self._open.all) >= MAX_CONNECTIONS:
            log.error("%d connections are open: the %s is turned away.", MAX_CONNECTIONS, name)
            sock.close()
            return
        connection = Connection(sock, idle_s=SETUP_SECONDS, stall_s=self._stall_s)
        self._open.serve(connection, name, self._serve)

    def finish(self, seconds: float) -> None:
        """Wait until all scans have ended; connections that send no scan soon are closed.

        Raises
        ------
        StreamError
            It takes longer than that time [s].
        """
        changed = self._open.changed
        with changed:
            changed.wait_for(lambda: self._open.all <= self._active, SETUP_GRACE_SECONDS)
            for connection in self._open.all - self._active:
                connection.close()
            if not changed.wait_for(lambda: not self._open.all, seconds):
                raise StreamError(
                    f"Scans that did not end within {seconds:g} s and are cut off: {self.active}."
                )

    def _serve(self, connection: Connection) -> None:
        setup = self._read_setup(connection)
        if setup is None:
            return
        with self._open.changed:
            self._active.add(connection)
            self._open.changed.notify_all()
        try:
            connection.idle_s = IDLE_SECONDS
            self._run(connection, setup)
        finally:
            with self._open.changed:
                self._active.remove(connection)

    def _read_setup(self, connection: Connection) -> tuple[bytes, bytes] | None:
        """Return CONFIG and HEADER, or None for a status query or an error."""
        try:
            first = connection.read()
            if first.id is MessageId.QUERY:
                answer_query(connection, first, self._status())
                return None
            return connection.read_setup(first)
        except PeerDisconnected:
            log.debug("The other end left before it sent a scan.")
        except StreamError as error:
            log.warning("%s", error)
            _refuse(connection, str(error))
        return None


def _refuse(connection: Connection, reason: str) -> None:
    with suppress(StreamError):
        connection.write_error(f"score-gadget: {reason}")
        connection.shut_down()

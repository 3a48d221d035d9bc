"""The connections of a resident server: scans, status queries, and those without a scan yet."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from gadget.errors import StreamError
from gadget.stream.open_connections import OpenConnections, refuse, turn_away
from gadget.stream.resident.status import ServerStatus, answer_query
from gadget.stream.wire.connection import IDLE_SECONDS, Connection
from gadget.stream.wire.messages import MessageId
from gadget.stream.wire.shared_socket import PeerDisconnected

SETUP_SECONDS = 60.0
"""Timeout for CONFIG and HEADER, which Gadgetron sends as soon as it is connected."""

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
        status: Callable[[], ServerStatus],
        stall_s: float,
    ) -> None:
        self._run = run
        self._status = status
        self._stall_s = stall_s
        self._open = OpenConnections()

    @property
    def active(self) -> int:
        """Number of scans that have started and not ended."""
        return len(self._open.begun)

    def open(self, sock: socket.socket, name: str) -> None:
        """Serve a connection in a thread of that name, which log lines bear.

        Connections beyond the limit are told, and closed at once.
        """
        connection = Connection(sock, idle_s=SETUP_SECONDS, stall_s=self._stall_s)
        if self._open.is_full:
            turn_away(connection, name)
            return
        self._open.serve(connection, name, self._serve)

    def finish(self, seconds: float) -> None:
        """Wait until all scans have ended; connections that send no scan soon are closed.

        Raises
        ------
        StreamError
            It takes longer than that time [s].
        """
        self._open.finish(seconds)

    def _serve(self, connection: Connection) -> None:
        setup = self._read_setup(connection)
        if setup is None:
            return
        self._open.begin(connection)
        connection.idle_s = IDLE_SECONDS
        self._run(connection, setup)

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
            refuse(connection, str(error))
        return None

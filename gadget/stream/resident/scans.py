"""The open connections of a resident server, each served in a thread of its own."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from gadget.errors import StreamError
from gadget.stream.resident.status import Status, answer
from gadget.stream.wire.connection import IDLE_SECONDS, Connection, PeerVanished
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
        self._changed = threading.Condition()
        self._strangers: set[Connection] = set()
        """Those that have not sent CONFIG and HEADER yet."""
        self._begun: set[Connection] = set()

    @property
    def begun(self) -> int:
        """Scans that have begun and have not ended."""
        return len(self._begun)

    def open(self, sock: socket.socket, name: str) -> None:
        """Serve a connection in a thread of that name, which is what the log calls the scan.

        One too many is closed at once.
        """
        if len(self._strangers | self._begun) >= MOST_CONNECTIONS:
            log.error("%d connections are open: the %s is turned away.", MOST_CONNECTIONS, name)
            sock.close()
            return
        connection = Connection(sock, idle_s=SETUP_SECONDS, stall_s=self._stall_s)
        thread = threading.Thread(target=self._serve, args=(connection,), name=name, daemon=True)
        with self._changed:
            self._strangers.add(connection)
        try:
            thread.start()
        except BaseException:
            self._forget(connection)
            raise

    def finish(self, seconds: float) -> None:
        """Wait until all scans have ended; those that have not begun soon are turned away.

        Raises
        ------
        StreamError
            It takes longer than that time [s].
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._strangers, SETUP_GRACE_SECONDS)
            strangers = list(self._strangers)
        for connection in strangers:
            connection.close()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._begun | self._strangers, seconds):
                raise StreamError(
                    f"Scans that did not end within {seconds:g} s and are cut off: {self.begun}."
                )

    def _serve(self, connection: Connection) -> None:
        try:
            setup = self._greet(connection)
            if setup is not None:
                with self._changed:
                    self._strangers.remove(connection)
                    self._begun.add(connection)
                    self._changed.notify_all()
                connection.idle_s = IDLE_SECONDS
                self._run(connection, setup)
        finally:
            self._forget(connection)

    def _greet(self, connection: Connection) -> tuple[bytes, bytes] | None:
        """Return CONFIG and HEADER, or None for whoever wants something else, or nothing."""
        try:
            first = connection.read()
            if first.id is MessageId.QUERY:
                answer(connection, first, self._status())
                return None
            return connection.read_setup(first)
        except PeerVanished:
            log.debug("The other end left before it sent a scan.")
        except StreamError as error:
            log.warning("%s", error)
            _turn_away(connection, str(error))
        return None

    def _forget(self, connection: Connection) -> None:
        connection.close()
        with self._changed:
            self._strangers.discard(connection)
            self._begun.discard(connection)
            self._changed.notify_all()


def _turn_away(connection: Connection, reason: str) -> None:
    with suppress(StreamError):
        connection.write_error(f"score-gadget: {reason}")
        connection.take_leave()

"""The open connections of a server, each in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gadget.stream.wire.connection import Connection

log = logging.getLogger(__name__)


class OpenConnections:
    """Serves connections and knows which ones are open."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        """Notified when a connection has ended; lock of `all`."""
        self.all: set[Connection] = set()

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
            self.changed.notify_all()

"""A server for clients without Gadgetron: ISMRMRD raw data in, images out.

It speaks the streaming protocol of Gadgetron's own client and of FIRE and OpenRecon scanners, and
runs the nodes in the embedded host.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence

from gadget.errors import StreamError
from gadget.stream.host.pipeline import PipelineNode
from gadget.stream.open_connections import OpenConnections
from gadget.stream.server.scan import ScanService
from gadget.stream.wire.acceptor import Acceptor
from gadget.stream.wire.connection import Connection

FINISH_SECONDS = 600.0
WAIT_SECONDS = 1.0

log = logging.getLogger(__name__)


class ScanServer:
    """Serves each client in a thread of its own, with nodes of its own.

    Parameters
    ----------
    listener
        Where clients come from; the server closes it.
    pipeline
        Nodes for clients that name no pipeline of this server.
    clients
        Clients that are served at once; others wait for their turn.
    finish_s
        How long clients may go on after `stop` [s].
    """

    def __init__(
        self,
        listener: socket.socket,
        pipeline: Sequence[PipelineNode],
        clients: int,
        *,
        finish_s: float = FINISH_SECONDS,
    ) -> None:
        self._acceptor = Acceptor(listener)
        self._pipeline = pipeline
        self._clients = clients
        self._finish_s = finish_s
        self._deadline = float("inf")
        self._open = OpenConnections()

    def serve(self) -> None:
        """Accept clients until `stop` is called, and serve those that wait when a place is free.

        Raises
        ------
        StreamError
            That does not end in time.
        """
        for sock, address in self._acceptor:
            self._wait_for_fewer_than(self._clients)
            self._open.serve(Connection(sock), str(address), self._serve)
        log.info("No more clients are accepted; those that are connected are served.")
        self._wait_for_fewer_than(1)

    def stop(self) -> None:
        """Make `serve` end; a handler of signals may call it."""
        self._deadline = time.monotonic() + self._finish_s
        self._acceptor.stop()

    def _wait_for_fewer_than(self, clients: int) -> None:
        """Wait until so few clients are served."""
        served, changed = self._open.all, self._open.changed
        with changed:
            while not changed.wait_for(lambda: len(served) < clients, WAIT_SECONDS):
                if time.monotonic() > self._deadline:
                    raise StreamError(
                        f"Clients that did not end within {self._finish_s:g} s and are cut off: "
                        f"{len(served)}."
                    )

    def _serve(self, connection: Connection) -> None:
        ScanService(connection, self._pipeline).run()

"""A server for clients without Gadgetron: ISMRMRD raw data in, images out.

It speaks the streaming protocol of Gadgetron's own client and of FIRE and OpenRecon scanners, and
runs the nodes in the embedded host.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from gadget.stream.host.pipeline import PipelineNode
from gadget.stream.open_connections import OpenConnections, turn_away
from gadget.stream.server.scan import ScanService
from gadget.stream.wire.acceptor import Acceptor
from gadget.stream.wire.connection import Connection

FINISH_SECONDS = 600.0

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
        Scans that run at once; others wait for their turn once their data come.
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
        self._finish_s = finish_s
        self._places = threading.BoundedSemaphore(clients)
        self._open = OpenConnections()

    def serve(self) -> None:
        """Accept clients until `stop` is called, and serve those whose data came before.

        Raises
        ------
        StreamError
            That does not end in time.
        """
        for sock, address in self._acceptor:
            connection = Connection(sock)
            if self._open.is_full:
                turn_away(connection, str(address))
            else:
                self._open.serve(connection, str(address), self._serve)
        log.info("No more clients are accepted; those whose scan has begun are served.")
        self._open.finish(self._finish_s)

    def stop(self) -> None:
        """Make `serve` end; a handler of signals may call it."""
        self._acceptor.stop()

    def _serve(self, connection: Connection) -> None:
        ScanService(connection, self._pipeline, partial(self._turn, connection)).run()

    @contextmanager
    def _turn(self, connection: Connection) -> Iterator[None]:
        """Wait for a place: only a client whose data have come takes one."""
        self._open.begin(connection)
        if not self._places.acquire(blocking=False):
            log.info("Other scans come first: this one waits for its turn.")
            self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

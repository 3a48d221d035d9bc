"""A server for clients that have no Gadgetron: ISMRMRD raw data in, images out.

It speaks the streaming protocol of Gadgetron's own client and of FIRE and OpenRecon scanners, and
runs the nodes in the embedded host.
"""

from __future__ import annotations

import logging
import select
import socket
import socketserver
import threading
from collections.abc import Sequence
from typing import Any

from gadget.stream.host.pipeline import PipelineNode
from gadget.stream.server.scan import ScanService
from gadget.stream.wire.connection import Connection

POLL_SECONDS = 0.1

log = logging.getLogger(__name__)


class ScanServer(socketserver.ThreadingTCPServer):
    """Serves each client in a thread of its own, with nodes of its own.

    `serve` accepts clients until `shutdown` is called from another thread; `server_close` then
    waits until those that have been accepted are served.

    Parameters
    ----------
    listener
        Where clients come from; the server closes it.
    pipeline
        Nodes for clients that name no pipeline of this server.
    clients
        Clients that are served at once; others wait for their turn.
    """

    def __init__(
        self, listener: socket.socket, pipeline: Sequence[PipelineNode], clients: int
    ) -> None:
        super().__init__(listener.getsockname(), socketserver.BaseRequestHandler, False)
        self.socket.close()
        self.socket = listener
        self._pipeline = pipeline
        self._places = threading.BoundedSemaphore(clients)

    def serve(self) -> None:
        """Accept clients until `shutdown`, those included that were connected by then."""
        self.serve_forever(POLL_SECONDS)
        while select.select([self.socket], [], [], 0)[0]:
            self.handle_request()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a client once there is a place for it."""
        self._places.acquire()
        try:
            return super().get_request()
        except BaseException:
            self._places.release()
            raise

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a client."""
        threading.current_thread().name = f"{client_address[0]}:{client_address[1]}"
        ScanService(Connection(request), self._pipeline).run()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Give the place of a client to the next."""
        super().shutdown_request(request)
        self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log what must not end the server."""
        log.exception("A client could not be served.")

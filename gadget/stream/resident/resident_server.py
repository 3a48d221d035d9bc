"""The resident server, for `<connect address= port=>` in a pipeline."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from types import MappingProxyType

import gadget
from gadget.stream.node import Node
from gadget.stream.resident.counts import Counts
from gadget.stream.resident.engine import Engine
from gadget.stream.resident.resident_runtime import ResidentRuntime
from gadget.stream.resident.scans import Scans
from gadget.stream.resident.status import ServerStatus
from gadget.stream.resident.warm_up import warm_up
from gadget.stream.wire.acceptor import Acceptor
from gadget.stream.wire.connection import STALL_SECONDS, Connection

FINISH_SECONDS = 600.0

log = logging.getLogger(__name__)


class ResidentServer:
    """Serves a node to any number of connections at once.

    Parameters
    ----------
    listener
        Where connections come from; the server closes it.
    engine
        Models and workers; the server closes it.
    node
        What is served.
    depth
        Buffers of one connection that may wait, be reconstructed or be sent at once.
    defaults
        Settings that hold where a connection's own do not name them; the model is the engine's own.
    stall_s
        Longest silence within a message [s].
    finish_s
        How long scans may go on after `stop` [s].
    """

    def __init__(
        self,
        listener: socket.socket,
        engine: Engine,
        node: Node,
        *,
        depth: int,
        defaults: Mapping[str, str] = MappingProxyType({}),
        stall_s: float = STALL_SECONDS,
        finish_s: float = FINISH_SECONDS,
    ) -> None:
        self._acceptor = Acceptor(listener)
        self._engine = engine
        self._node = node
        self._depth = depth
        self._defaults = {"model": engine.model, **defaults}
        self._finish_s = finish_s
        self._counts = Counts()
        self._scans = Scans(self._run, self.status, stall_s)
        self._started = time.monotonic()

    def warm_up(self) -> None:
        """Reconstruct a small scan, so that the first real one is not slower than the others."""
        warm_up(lambda sock: self._scans.open(sock, "warm-up"))
        self._counts = Counts()

    def serve(self) -> None:
        """Accept connections until `stop` is called, then finish what has begun.

        Raises
        ------
        StreamError
            That does not end in time.
        """
        for sock, peer in self._acceptor:
            self._scans.open(sock, f"scan of {peer}")
        log.info(
            "No more connections are accepted; scans that are still open: %d.", self._scans.active
        )
        self._scans.finish(self._finish_s)
        self._engine.close()

    def stop(self) -> None:
        """Make `serve` end; a handler of signals may call it."""
        self._acceptor.stop()

    def status(self) -> ServerStatus:
        """Return the status of the server."""
        prior = self._engine.prior
        return ServerStatus(
            version=gadget.__version__,
            model=prior.name,
            sha256=prior.sha256,
            device=str(self._engine.device),
            uptime_s=time.monotonic() - self._started,
            scans=self._scans.active,
            waiting=self._engine.waiting,
            reconstructions=self._counts.reconstructions,
            fallbacks=self._counts.fallbacks,
            failures=self._counts.failures,
        )

    def _run(self, connection: Connection, setup: tuple[bytes, bytes]) -> None:
        runtime = ResidentRuntime(self._engine, self._depth, self._counts, self._defaults)
        if not self._node.run(connection, setup, runtime):
            self._counts.add_failure()

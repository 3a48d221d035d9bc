"""A node of a pipeline that is a running server, connected to the way Gadgetron 4.7 does."""

from __future__ import annotations

from gadget.errors import StreamError
from gadget.stream.host.pipeline import Connect
from gadget.stream.wire.address import connect
from gadget.stream.wire.connection import Connection

CONNECT_SECONDS = 20.0
"""How long to retry to connect, as Gadgetron does: a server may be restarting."""


class RemoteNode:
    """A server, which is neither started nor stopped here.

    Parameters
    ----------
    entry
        Where it is.
    connect_s
        How long to retry to connect [s].
    """

    def __init__(self, entry: Connect, connect_s: float) -> None:
        self.name = f"at {entry.address}"
        self._address = entry.address
        self._connect_s = connect_s

    def connect(self) -> Connection:
        """Return a connection to the server; raises `StreamError` if it does not answer."""
        try:
            return Connection(connect(self._address, self._connect_s))
        except StreamError as error:
            raise StreamError(
                f"{error} Start the node there with `score-gadget node --bind {self._address}`, or "
                "correct <connect> in the pipeline."
            ) from error

    def wait(self, seconds: float = 0.0) -> int:
        """Return 0: how a server ends is not this pipeline's concern."""
        return 0

    def ending(self) -> str:
        """Return the end of the connection as part of a sentence."""
        return "broke the connection"

    def words(self) -> str:
        """Return nothing: the log of a server is where it runs."""
        return ""

    def stop(self) -> None:
        """Leave the server as it is."""

"""The socket of gadgetron-python's connection.

That connection spins on a closed socket, takes unknown messages for the end of the data and reports
success after a crash, so only its socket is used.
"""

from __future__ import annotations

import socket
from typing import Protocol

from gadget.stream.wire.connection import Connection


class _GadgetronSocket(Protocol):
    @property
    def socket(self) -> socket.socket: ...


class _GadgetronConnection(Protocol):
    """What is used of `gadgetron.external.Connection`."""

    socket: _GadgetronSocket


class _ReleasedSocket:
    """Replaces the socket in gadgetron's connection.

    Its `__exit__` sends CLOSE whatever happened, which reads as success.
    """

    def close(self) -> None:
        """Leave the socket to its new owner."""


def take_socket(gadgetron_connection: _GadgetronConnection) -> Connection:
    """Move the socket of a `gadgetron.external.Connection` to a connection of this package."""
    # gadgetron-python reads exactly the bytes it needs: none of ours are left in it.
    sock = gadgetron_connection.socket.socket
    gadgetron_connection.socket = _ReleasedSocket()  # type: ignore[assignment]
    return Connection(sock)

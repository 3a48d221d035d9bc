"""Accepts the connections of a server, until it is stopped."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Iterator

from gadget.stream.wire.address import Address

SHORTAGE_SECONDS = 0.5
"""Pause after a connection could not be accepted, for lack of file descriptors."""
WAKE_SECONDS = 1.0
"""Longest wait for a connection: a signal that comes just before one is handled after it."""

log = logging.getLogger(__name__)


class Acceptor:
    """Iterating yields each connection and its address, after `stop` those in the backlog.

    Parameters
    ----------
    listener
        Where connections come from; closed when the last one is accepted.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._wake_sender, self._wake_receiver = socket.socketpair()

    def stop(self) -> None:
        """Accept no more; a handler of signals may call it."""
        self._wake_sender.send(b"\0")

    def __iter__(self) -> Iterator[tuple[socket.socket, Address]]:
        with (
            self._listener,
            self._wake_sender,
            self._wake_receiver,
            selectors.DefaultSelector() as selector,
        ):
            self._listener.setblocking(False)
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while all(
                key.fileobj is not self._wake_receiver for key, _ in selector.select(WAKE_SECONDS)
            ):
                yield from self._accepted()
            # Those in the backlog now, and then no more: clients go on connecting.
            waiting: list[tuple[socket.socket, Address]] = []
            while found := self._accepted():
                waiting += found
        yield from waiting

    def _accepted(self) -> list[tuple[socket.socket, Address]]:
        """Return a connection that waits, if there is one."""
        try:
            sock, peer = self._listener.accept()
        except BlockingIOError:
            return []
        except OSError as error:
            log.error("A connection could not be accepted (%s).", error)
            time.sleep(SHORTAGE_SECONDS)
            return []
        return [(sock, Address(*peer[:2]))]

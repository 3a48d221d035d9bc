"""A socket that several threads use until one of them closes it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

from gadget.errors import StreamError


class PeerDisconnected(StreamError):  # noqa: N818 - what happened, as in BrokenPipe
    """The other end disconnected without closing the stream."""


class SharedSocket:
    """A connected stream socket, whose file descriptor is closed when no thread uses it any more.

    Parameters
    ----------
    sock
        The socket, which this object owns from here on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._closed = False
        self._users = 0
        self._lock = threading.Lock()
        sock.settimeout(None)
        _keep_alive(sock)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[socket.socket]:
        """Delay the closing of the file descriptor while a thread uses it.

        Its number may go to another connection at once, whose data would be taken for ours.

        Raises
        ------
        PeerDisconnected
            The socket was closed.
        """
        with self._lock:
            if self._closed:
                raise PeerDisconnected("The connection was closed at this end.")
            self._users += 1
        try:
            yield self._socket
        finally:
            with self._lock:
                self._users -= 1
                self._close_unused()

    def wait(self, events: int, timeout: float | None) -> bool:
        """Wait for events of `select.poll`; return whether they came in time [s]."""
        poll = select.poll()
        with self.in_use() as sock:
            poll.register(sock, events)
            return bool(poll.poll(None if timeout is None else timeout * 1000))

    def shut_down_writing(self) -> None:
        """Shut down the writing side; reading goes on."""
        with contextlib.suppress(OSError, PeerDisconnected), self.in_use() as sock:
            sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Shut down both sides at once, which ends waiting, and close when nobody uses it."""
        with self._lock:
            if not self._closed:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._closed = True
            self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and not self._users:
            self._socket.close()


def _keep_alive(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # a Unix socket has neither
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""A connection that speaks Gadgetron's protocol over a socket, with checks and timeouts.

It never waits for ever: a peer that disconnected, a truncated message and an unknown message each
raise a `StreamError`.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Sequence

from gadget.errors import StreamError
from gadget.stream.wire.framing import read_message
from gadget.stream.wire.messages import UINT16, Message, MessageId, raw_text_of, text_message
from gadget.stream.wire.shared_socket import PeerDisconnected, SharedSocket

IDLE_SECONDS = 24 * 3600.0
"""Timeout between messages. A node at the end of a pipeline receives nothing while the one before
computes; a peer whose machine is gone is noticed by keep-alive probes in two minutes."""
STALL_SECONDS = 120.0
"""Timeout within a message."""
BUFFER_BYTES = 2**18
MAX_PARTS = 64
MAX_ERROR_BYTES = 8192
LINGER_SECONDS = 10.0
SHUTDOWN_SECONDS = 2.0
"""How long the other end may keep a connection that this end has shut down."""

_POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)


class InputEnded(PeerDisconnected):
    """The other end shut down its writing side without closing the stream; it may still read."""


class Connection:
    """One end of a connection, read and written in whole messages.

    One thread may read while others write.

    Parameters
    ----------
    sock
        A connected stream socket; the connection owns it from here on.
    idle_s
        Timeout between messages [s].
    stall_s
        Timeout within a message [s].
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        idle_s: float = IDLE_SECONDS,
        stall_s: float = STALL_SECONDS,
    ) -> None:
        self.idle_s = idle_s
        self.stall_s = stall_s
        self._socket = SharedSocket(sock)
        self._write_lock = threading.Lock()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        self._heard = -math.inf
        """When data arrived last, on the clock of `time.monotonic` [s]."""

    def read(self) -> Message:
        """Return the next message, CLOSE included.

        Raises
        ------
        PeerDisconnected
            The other end is gone.
        StreamError
            The message is unknown, a length is not allowed, or nothing arrives.
        """
        number = bytearray()
        self._append_some(number, 1, self.idle_s)
        self.append_to(number, 1)
        return read_message(UINT16.unpack(number)[0], self)

    def read_setup(self, first: Message | None = None) -> tuple[bytes, bytes]:
        """Read CONFIG and HEADER, which come before the data, and return their texts.

        `first` is the first message, where it was read already.
        """
        texts = []
        for expected in (MessageId.CONFIG, MessageId.HEADER):
            message = first or self.read()
            first = None
            if message.id is MessageId.FILENAME:
                raise StreamError(
                    "The name of a pipeline came, but this is a node of one: send it to a "
                    "Gadgetron or to `score-gadget serve`, and name the node in the pipeline, as "
                    "score_hybrid_remote.xml does."
                )
            if message.id is not expected:
                raise StreamError(
                    f"{expected.title} must come before the data, but {message.id.title} came."
                )
            texts.append(raw_text_of(message))
        return texts[0], texts[1]

    def append_to(self, data: bytearray, count: int) -> None:
        """Append the next `count` bytes of a message."""
        end = len(data) + count
        while len(data) < end:
            self._append_some(data, end - len(data), self.stall_s)

    def discard(self, silence_s: float, total_s: float) -> None:
        """Discard incoming data until the other end is silent or gone, or the time is over."""
        deadline = time.monotonic() + total_s
        with contextlib.suppress(StreamError):
            while time.monotonic() < deadline:
                self._receive(self._buffer, silence_s)

    def _append_some(self, data: bytearray, count: int, timeout: float) -> None:
        """Append what has arrived, up to `count` bytes."""
        if self._start == self._end:
            self._start, self._end = 0, self._receive(self._buffer, timeout)
        stop = min(self._start + count, self._end)
        data += self._buffer[self._start : stop]
        self._start = stop

    def _receive(self, view: memoryview, timeout: float) -> int:
        while True:
            try:
                with self._socket.in_use() as sock:
                    count = sock.recv_into(view, 0, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                if not self._socket.wait(select.POLLIN, timeout):
                    raise StreamError(
                        f"Nothing arrived for {timeout:g} s although more data were expected: "
                        "the other end hangs or the network is down."
                    ) from None
                continue
            except OSError as error:
                raise PeerDisconnected(f"The other end broke the connection ({error}).") from error
            if count == 0:
                raise InputEnded("The other end is gone: it ended without closing the stream.")
            self._heard = time.monotonic()
            return count

    def write(
        self, parts: Sequence[bytes | bytearray | memoryview], *, wait_s: float | None = None
    ) -> None:
        """Write the parts of a message without others in between.

        Waits for a slow reader as long as it takes or, where `wait_s` [s] is given, until it has
        neither taken nor sent anything for so long: some clients read when they have sent all.

        Raises
        ------
        PeerDisconnected
            The other end is gone.
        StreamError
            The other end takes nothing, and sends nothing, for `wait_s`.
        """
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        with self._write_lock:
            while views:
                try:
                    with self._socket.in_use() as sock:
                        sent = sock.sendmsg(views[:MAX_PARTS], [], socket.MSG_DONTWAIT)
                except (BlockingIOError, InterruptedError):
                    if not self._socket.wait(select.POLLOUT, wait_s) and not self._heard_within(
                        wait_s
                    ):
                        raise StreamError("The other end does not take data any more.") from None
                    continue
                except OSError as error:
                    raise PeerDisconnected(
                        f"The other end takes no more data ({error})."
                    ) from error
                views = _remaining(views, sent)

    def _heard_within(self, seconds: float | None) -> bool:
        return seconds is not None and time.monotonic() - self._heard < seconds

    def write_setup(self, config: bytes, header: bytes) -> None:
        """Write CONFIG and HEADER."""
        texts = (MessageId.CONFIG, config), (MessageId.HEADER, header)
        self.write([text_message(message_id, text) for message_id, text in texts])

    def write_message(self, message: Message) -> None:
        """Write a message unchanged."""
        self.write([UINT16.pack(message.id), message.payload])

    def write_error(self, text: str) -> None:
        """Send an ERROR message with one sentence."""
        encoded = text.encode("utf-8", "replace")[:MAX_ERROR_BYTES]
        self.write([text_message(MessageId.ERROR, encoded)], wait_s=LINGER_SECONDS)

    def write_close(self, *, wait_s: float | None = None) -> None:
        """Send CLOSE: nothing more comes. A slow reader gets as long as in `write`."""
        self.write([UINT16.pack(MessageId.CLOSE)], wait_s=wait_s)

    def peer_has_closed(self) -> bool:
        """Whether the other end has shut down its writing side, without reading."""
        return self._socket.wait(_POLLRDHUP, 0)

    def is_broken(self, wait_s: float) -> bool:
        """Whether the connection is broken, or will be within that time [s].

        A half-closed one is not. The machine of a process that is gone resets the connection when
        something is written to it.
        """
        try:
            return self._socket.wait(0, wait_s)  # errors are told unasked
        except PeerDisconnected:
            return True

    def wait_for_end(self) -> None:
        """Wait until the other end is gone; discard what it still sends."""
        with contextlib.suppress(PeerDisconnected):
            while True:
                self._socket.wait(select.POLLIN, None)
                self._receive(self._buffer, self.idle_s)

    def shut_down_writing(self) -> None:
        """Shut down the writing side of the socket; reading goes on."""
        self._socket.shut_down_writing()

    def shut_down(self) -> None:
        """Send CLOSE, shut down writing, and wait a moment for the other end to close."""
        self.write_close(wait_s=LINGER_SECONDS)
        self.shut_down_writing()
        self.discard(SHUTDOWN_SECONDS, SHUTDOWN_SECONDS)

    def close(self) -> None:
        """Close the connection at once; threads that wait for it raise `PeerDisconnected`."""
        self._socket.close()


def _remaining(views: list[memoryview], sent: int) -> list[memoryview]:
    """Return the views without the first `sent` bytes."""
    for position, view in enumerate(views):
        if sent < len(view):
            return [view[sent:], *views[position + 1 :]]
        sent -= len(view)
    return []

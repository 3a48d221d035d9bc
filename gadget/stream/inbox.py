"""A queue of received messages, filled by a thread while the node computes."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from gadget.errors import StreamError
from gadget.stream.wire.connection import Connection, InputEnded
from gadget.stream.wire.messages import Message, MessageId, text_of
from gadget.stream.wire.shared_socket import PeerDisconnected

DEFAULT_LIMIT_BYTES = 2**29
BUSY_LIMIT_BYTES = 2**26
"""Size of the queue while messages are taken all the time. A longer one would not let the sender
wait less, and memory that was used before is faster than new."""
BUSY_SECONDS = 0.1
"""Who has taken no message for so long computes."""
OVERHEAD_BYTES = 200
"""Memory of a queued message beside its payload."""
POLL_SECONDS = 0.2
SILENCE_SECONDS = 2.0

log = logging.getLogger(__name__)

Failure = TypeVar("Failure", bound=StreamError)


class Inbox:
    """Queue of received messages.

    The thread stops reading while more than `limit_bytes` are queued, which blocks the sender:
    memory does not grow with the length of the scan. It waits for a node that is reading, too, but
    not for one that computes.

    Parameters
    ----------
    connection
        The connection to read.
    limit_bytes
        Size of the queue; a single message may be larger.
    on_disconnect
        Called from the thread when the other end is gone, also after it closed the stream, as long
        as `finish` was not called.
    watch_after_close
        Whether the other end is watched after it has closed the stream. One that has shut down its
        side of the socket by then counts as gone. Of others that may be all there is for a close;
        half a message at its end is dropped.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        on_disconnect: Callable[[], None] | None = None,
        watch_after_close: bool = True,
    ) -> None:
        self._connection = connection
        self._limit = limit_bytes
        self._on_disconnect = on_disconnect
        self._watch_after_close = watch_after_close
        self._changed = threading.Condition()
        self._queue: deque[Message] = deque()
        self._queued_bytes = 0
        self._taken = -math.inf
        """When messages were taken last, on the clock of `time.monotonic` [s]."""
        self._closed = False
        self.ended_without_close = False
        """Whether the other end has shut down its writing side instead of sending CLOSE."""
        self._discarding = False
        self._finished = False
        self._failure: StreamError | None = None
        name = threading.current_thread().name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def get(self) -> Message | None:
        """Return the next message, or None when the other end has closed the stream; see `take`."""
        messages = self.take(0)
        return messages[0] if messages else None

    def take(self, count_bytes: int) -> list[Message]:
        """Return the next messages: one, and what has come after it up to so many bytes.

        There is none when the other end has closed the stream.

        Raises
        ------
        StreamError
            The other end disconnected or broke the protocol; in the second case after everything
            that came before.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed or self._failure)
            messages: list[Message] = []
            taken_bytes = 0
            while self._queue and (not messages or taken_bytes < count_bytes):
                messages.append(self._queue.popleft())
                taken_bytes += _memory_bytes(messages[-1])
            self._queued_bytes -= taken_bytes
            self._taken = time.monotonic()
            self._changed.notify_all()
            failure = self._failure
        if failure is not None and not messages:
            raise _copied(failure)
        return messages

    @property
    def disconnected(self) -> PeerDisconnected | None:
        """The error, if the other end is gone."""
        return _copied(self._failure) if isinstance(self._failure, PeerDisconnected) else None

    def drain(self, seconds: float) -> bool:
        """Discard messages until the other end closes the stream.

        Returns whether it did so within the time [s]. Telling a sender of a failure while it still
        sends would break its connection before it reads why.
        """
        with self._changed:
            self._discarding = True
            self._queue.clear()
            self._queued_bytes = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._failure, seconds)
            failure = self._failure
        if failure is not None and not isinstance(failure, PeerDisconnected):
            self._thread.join(seconds)
        return self._closed

    def finish(self) -> None:
        """Ignore a disconnect from here on."""
        self._finished = True

    def join(self, seconds: float) -> None:
        """Wait until the other end closes the connection, discarding what it still sends."""
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._connection.discard(seconds, seconds)

    def _run(self) -> None:
        try:
            try:
                self._read_to_close()
            except InputEnded:
                if self._watch_after_close:
                    raise
                self.ended_without_close = True
                self._close()
            if not self._watch_after_close:
                return
            self._connection.wait_for_end()
            raise PeerDisconnected("The other end is gone: it did not wait for the result.")
        except PeerDisconnected as error:
            self._fail(error)
            if self._on_disconnect is not None and not self._finished:
                self._on_disconnect()
        except StreamError as error:
            self._fail(error)
            # The next message cannot be found any more. What still comes is thrown away, so that
            # the sender gets to the point where it listens.
            self._connection.discard(SILENCE_SECONDS, self._connection.idle_s)
        except BaseException as error:  # a dead reader must not leave `get` waiting
            self._fail(StreamError(f"Reading the input failed: {error!r}."))
            raise

    def _read_to_close(self) -> None:
        while True:
            message = self._connection.read()
            if message.id is MessageId.CLOSE:
                self._close()
                return
            if message.id is MessageId.TEXT:
                log.info("The other end says: %s", text_of(message))
            elif message.id is MessageId.ERROR:
                raise StreamError(f"The other end reports an error: {text_of(message)}")
            elif message.id < MessageId.ACQUISITION:
                raise StreamError(
                    f"A message {message.id.title} came among the data, where it is not allowed."
                )
            else:
                self._put(message)

    def _close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, message: Message) -> None:
        size = _memory_bytes(message)
        with self._changed:
            while (
                self._queued_bytes
                and self._queued_bytes + size > self._bound
                and not self._discarding
            ):
                self._changed.wait(POLL_SECONDS)
                # An end that is gone is noticed by reading; what it sent before fits in a socket.
                if self._connection.peer_has_closed():
                    break
            if not self._discarding:
                self._queue.append(message)
                self._queued_bytes += size
                self._changed.notify_all()

    @property
    def _bound(self) -> int:
        """How large the queue may be just now."""
        busy = time.monotonic() - self._taken < BUSY_SECONDS
        return min(self._limit, BUSY_LIMIT_BYTES) if busy else self._limit

    def _fail(self, error: StreamError) -> None:
        with self._changed:
            self._failure = _copied(error)
            if isinstance(error, PeerDisconnected):
                # Nobody waits for what would be made of them.
                self._queue.clear()
                self._queued_bytes = 0
            self._changed.notify_all()


def _memory_bytes(message: Message) -> int:
    return len(message.payload) + OVERHEAD_BYTES


def _copied(failure: Failure) -> Failure:
    """Copy an error: one that was raised keeps the frames of its traceback alive."""
    return type(failure)(*failure.args)

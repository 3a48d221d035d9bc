"""The log of a scan, sent to the client of the server as TEXT messages."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gadget.errors import StreamError
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import MessageId, text_message

SEND_SECONDS = 600.0
"""Timeout for sending a message to a client."""
LOGGER = "gadget"


class _TextHandler(logging.Handler):
    """Sends the log records of the threads of one name."""

    def __init__(self, connection: Connection, thread_name: str) -> None:
        super().__init__(logging.INFO)
        self._connection = connection
        self._thread_name = thread_name

    def filter(self, record: logging.LogRecord) -> bool:
        return record.threadName == self._thread_name

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_text(self._connection, record.levelname, record.getMessage())
        except StreamError:
            # Perhaps in the middle of the line: nothing after it could be read.
            self._connection.close()


@contextmanager
def log_to_client(connection: Connection) -> Iterator[None]:
    """Send the log of this thread, and of those of its name, to a client."""
    handler = _TextHandler(connection, threading.current_thread().name)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def write_text(connection: Connection, level: str, text: str) -> None:
    """Send a line as FIRE does: the level in eight characters, the text, and NUL.

    Raises
    ------
    StreamError
        The client does not take it.
    """
    line = f"{level:<8} {text}\n\0".encode("utf-8", "replace")
    connection.write([text_message(MessageId.TEXT, line)], wait_s=SEND_SECONDS)

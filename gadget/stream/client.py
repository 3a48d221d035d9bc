"""A client of a Gadgetron server, or of any server that speaks its protocol."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import ismrmrd

from gadget.errors import ConfigError, StreamError
from gadget.stream.wire.address import connect, parse_address
from gadget.stream.wire.codec import decode
from gadget.stream.wire.connection import IDLE_SECONDS, Connection
from gadget.stream.wire.framing import FILENAME_BYTES
from gadget.stream.wire.messages import UINT16, Message, MessageId, text_message, text_of
from gadget.stream.wire.shared_socket import PeerDisconnected

CONNECT_SECONDS = 10.0
"""How long to retry to connect to a server."""
SENDER_SECONDS = 5.0
NO_SUCH_FILE = "Error reading from file/stream"
"""Gadgetron's error for an unknown pipeline."""

_LOG_LINE = re.compile(r"(DEBUG|INFO|WARNING|DBG|INF|WRN)\b")
"""Log lines of a FIRE server, which are no errors. Gadgetron sends errors only as text."""
_VERSION = re.compile(rb"<((?:\w+:)?version)>\s*\d+\s*</\1>\s*")
"""Version of the library that wrote a header. Gadgetron passes none but its own to Python nodes,
which wait for their header without end then."""

log = logging.getLogger(__name__)


def run_on_server(
    server: str,
    pipeline: str | bytes,
    header: bytes,
    messages: Iterable[bytes],
    on_image: Callable[[ismrmrd.Image], None],
    *,
    connect_s: float = CONNECT_SECONDS,
    idle_s: float = IDLE_SECONDS,
) -> None:
    """Send data to a server and pass on the images that come back.

    Parameters
    ----------
    server
        Address, `host:port`.
    pipeline
        Name of a pipeline of the server, or the text of one as bytes.
    header
        The ISMRMRD XML header; sent without the version of its schema.
    messages
        Whole messages as bytes, one or more at a time; read in another thread.
    on_image
        Called for each image, in the calling thread.
    connect_s
        How long to retry to connect [s].
    idle_s
        Timeout between messages of the server [s].

    Raises
    ------
    ConfigError
        The address is none, or the name of the pipeline is too long.
    StreamError
        Nobody answers; the server reports errors, breaks the protocol, is silent or gone; or it
        closes the stream without an image. Images that came before have been passed on.
    Exception
        Whatever `messages` or `on_image` raises.
    """
    setup = [_config(pipeline), text_message(MessageId.HEADER, _VERSION.sub(b"", header))]
    connection = Connection(connect(parse_address(server), connect_s), idle_s=idle_s)
    try:
        _Client(connection, on_image).run(setup, messages)
    except StreamError as error:
        if isinstance(pipeline, bytes) or NO_SUCH_FILE not in str(error):
            raise
        raise StreamError(
            f"The server does not find the pipeline '{pipeline}', or cannot read it: install it "
            f"there, or send a file by its path. {error}"
        ) from error


class _Client:
    """One scan at a server."""

    def __init__(self, connection: Connection, on_image: Callable[[ismrmrd.Image], None]) -> None:
        self._connection = connection
        self._on_image = on_image
        self._images = 0
        self._errors: list[str] = []
        self._input_error: Exception | None = None

    def run(self, setup: list[bytes], messages: Iterable[bytes]) -> None:
        """Send all messages, receive all images."""
        sender = threading.Thread(target=self._send_all, args=(setup, messages), daemon=True)
        sender.start()
        try:
            self._receive()
        finally:
            self._connection.close()
            sender.join(SENDER_SECONDS)
        if self._input_error is not None:
            raise self._input_error
        if self._errors:
            raise StreamError(f"The server reports: {' '.join(self._errors)}")
        if not self._images:
            raise StreamError(
                "The server closed the stream without an image and without a reason: its own log "
                "may tell more."
            )

    def _receive(self) -> None:
        try:
            while (message := self._connection.read()).id is not MessageId.CLOSE:
                self._handle(message)
        except StreamError as error:
            if not self._errors:
                raise StreamError(
                    f"The server failed after {self._images} images. {error}"
                ) from error

    def _handle(self, message: Message) -> None:
        if message.id is MessageId.IMAGE:
            self._on_image(decode(message))
            self._images += 1
        elif message.id is MessageId.TEXT:
            text = text_of(message)
            if _LOG_LINE.match(text):
                log.info("The server says: %s", text)
            else:
                self._errors.append(text)
        elif message.id is MessageId.ERROR:
            self._errors.append(text_of(message))
        elif message.id is not MessageId.WAVEFORM:
            log.warning("The server sends %s, which is no image: dropped.", message.id.name)

    def _send_all(self, setup: list[bytes], messages: Iterable[bytes]) -> None:
        with suppress(PeerDisconnected):  # noticed where the server is read
            self._connection.write(setup)
            try:
                for block in messages:
                    self._connection.write([block])
            except PeerDisconnected:
                raise
            except Exception as error:  # noqa: BLE001 - raised again in the calling thread
                self._input_error = error
            self._connection.write_close()


def _config(pipeline: str | bytes) -> bytes:
    if isinstance(pipeline, bytes):
        return text_message(MessageId.CONFIG, pipeline)
    name = pipeline.encode(errors="surrogateescape")  # as it was typed, which may be no UTF-8
    if len(name) >= FILENAME_BYTES:
        raise ConfigError(
            f"The name of a pipeline has at most {FILENAME_BYTES - 1} bytes, this one {len(name)}."
        )
    return UINT16.pack(MessageId.FILENAME) + name.ljust(FILENAME_BYTES, b"\0")

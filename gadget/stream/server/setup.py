"""Messages of a client before its data: configuration, header, parameters."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import gadget
from gadget.errors import ConfigError, StreamError
from gadget.stream.wire.connection import IDLE_SECONDS, LINGER_SECONDS, Connection
from gadget.stream.wire.messages import (
    Message,
    MessageId,
    raw_text_of,
    response,
    text_of,
)

SETUP_SECONDS = 120.0
"""Timeout for configuration and header; the data come when the scanner measures."""
MAX_PARAMETER_CHARACTERS = 2**20

_INFO_QUERY = b"gadgetron::info"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """Configuration, header and parameters of a scan, and its first data."""

    config: str
    """Name of a pipeline, or its XML text."""
    header: bytes
    """The ISMRMRD XML header."""
    parameters: str
    """JSON text of what was set at the scanner, as FIRE and OpenRecon send it; may be empty."""
    first: Message
    """The first message of the data."""


def read_setup(connection: Connection) -> Setup | None:
    """Read the messages before the data, and the first message of the data.

    Returns nothing for a client that closes before it has sent a header, as Gadgetron's does after
    it has asked for information. The first TEXT after the header has the parameters, or, where none
    comes there, the last one before it that names some. All others are remarks.

    Raises
    ------
    StreamError
        Messages came in another order.
    PeerDisconnected
        The client is gone.
    """
    connection.idle_s = SETUP_SECONDS
    preamble = _Preamble(connection)
    config = preamble.read_config()
    header = preamble.read_header() if config is not None else None
    if config is None or header is None:
        return None
    connection.idle_s = IDLE_SECONDS
    parameters, first = preamble.parameters, connection.read()
    if first.id is MessageId.TEXT:
        parameters, first = text_of(first), connection.read()
    while first.id is MessageId.TEXT:
        _log_remark(first)
        first = connection.read()
    if first.id is MessageId.CLOSE:
        raise StreamError("The stream was closed after its header: there are no data.")
    if first.id < MessageId.ACQUISITION:
        raise _unexpected(first, "the data")
    return Setup(config, header, parameters, first)


def parse_parameters(text: str) -> dict[str, str]:
    """Return names and values, as a pipeline writes them, of `{"parameters": {...}}`.

    Lists and objects keep their JSON text.

    Raises
    ------
    ConfigError
        It is any other text.
    """
    if not text:
        return {}
    expected = 'The text after the header must be JSON such as {"parameters": {"steps": "30"}}'
    if len(text) > MAX_PARAMETER_CHARACTERS:
        raise ConfigError(f"{expected}, of at most {MAX_PARAMETER_CHARACTERS} characters.")
    try:
        parameters = json.loads(text).get("parameters") or {}
        return {name: _property(value) for name, value in parameters.items() if value is not None}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{expected} ({error}).") from error


def _property(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    return value.strip() if isinstance(value, str) else json.dumps(value)


class _Preamble:
    """The messages of a client up to its header."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.parameters = ""
        """The last text that names parameters."""

    def read_config(self) -> str | None:
        message = self._read()
        if message.id is MessageId.CLOSE:
            return None
        if message.id in (MessageId.FILENAME, MessageId.CONFIG):
            return text_of(message)
        raise _unexpected(message, "FILENAME (1) or CONFIG (2)")

    def read_header(self) -> bytes | None:
        message = self._read()
        if message.id is MessageId.CLOSE:
            return None
        if message.id is not MessageId.HEADER:
            raise _unexpected(message, "HEADER (3)")
        return raw_text_of(message)

    def _read(self) -> Message:
        """Read the next message; answer queries, log texts, keep what may be parameters."""
        while True:
            message = self._connection.read()
            if message.id is MessageId.QUERY:
                _answer(self._connection, message)
            elif message.id is MessageId.TEXT:
                text = _log_remark(message)
                if '"parameters"' in text:
                    self.parameters = text
            else:
                return message


def _log_remark(remark: Message) -> str:
    text = text_of(remark)
    log.info("The client says: %s", text)
    return text


def _answer(connection: Connection, query: Message) -> None:
    """Answer a query of Gadgetron's client (its option -Q) as Gadgetron does."""
    known = raw_text_of(query) == _INFO_QUERY
    text = f"score-gadget {gadget.__version__}" if known else "Unknown query"
    connection.write([response(query, text.encode())], wait_s=LINGER_SECONDS)


def _unexpected(message: Message, expected: str) -> StreamError:
    return StreamError(
        f"{message.id.title} came where {expected} was expected: a client "
        "sends its configuration, the header, the data and CLOSE (4)."
    )

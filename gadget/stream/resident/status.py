"""Status of a resident server, by the messages of Gadgetron's info queries.

QUERY (6) is a reserved uint64, an identifier, and a text; RESPONSE (7) the identifier and a text.
Gadgetron sends neither to a node. The first message of a connection is QUERY instead of CONFIG, so
an answer waits for no reconstruction.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from pydantic import BaseModel, ValidationError

from gadget.errors import StreamError
from gadget.stream.wire.address import Address, connect
from gadget.stream.wire.connection import SHUTDOWN_SECONDS, Connection
from gadget.stream.wire.messages import Message, MessageId, raw_text_of, response, text_message

QUERY = b"score-gadget::status"
ANSWER_SECONDS = 10.0
"""Timeout of a query."""


class ServerStatus(BaseModel):
    """Status of a resident server."""

    version: str
    model: str
    sha256: str
    device: str
    uptime_s: float
    scans: int
    """Scans that have begun and have not ended."""
    waiting: int
    """Buffers in the queue."""
    reconstructions: int
    fallbacks: int
    """Reconstructions by a simpler method than was asked for."""
    failures: int
    """Scans that ended with an error."""

    @property
    def identity(self) -> str:
        """Version, model and device, as one line."""
        return (
            f"score-gadget {self.version}, model {self.model} (sha256 {self.sha256[:12]}) on "
            f"{self.device}."
        )

    @property
    def activity(self) -> str:
        """Uptime and counts, as one line."""
        uptime = timedelta(seconds=round(self.uptime_s))
        return (
            f"Up {uptime}, scans open {self.scans}, buffers waiting {self.waiting}, "
            f"reconstructions {self.reconstructions}, by fallback {self.fallbacks}, failed scans "
            f"{self.failures}."
        )


def answer_query(connection: Connection, query: Message, status: ServerStatus) -> None:
    """Answer a query and end the connection."""
    text = b"This server answers the query %s alone." % QUERY
    if raw_text_of(query) == QUERY:
        text = status.model_dump_json().encode()
    connection.write([response(query, text)], wait_s=SHUTDOWN_SECONDS)
    connection.shut_down()


def query_status(address: Address, timeout_s: float = ANSWER_SECONDS) -> ServerStatus:
    """Query the status of the resident server at an address.

    Raises
    ------
    StreamError
        Nobody answers within the time [s], or no resident server does.
    """
    connection = Connection(connect(address, 0), idle_s=timeout_s, stall_s=timeout_s)
    # Also for an answer that comes byte by byte; silence has a sentence of its own.
    end = threading.Timer(1.5 * timeout_s, connection.close)
    end.start()
    try:
        connection.write([text_message(MessageId.QUERY, QUERY)], wait_s=timeout_s)
        return ServerStatus.model_validate_json(raw_text_of(connection.read()))
    except StreamError as error:
        raise StreamError(f"The server at {address} does not answer. {error}") from error
    except ValidationError as error:
        raise StreamError(
            f"What listens at {address} is no resident server of this version of score-gadget."
        ) from error
    finally:
        end.cancel()
        connection.close()

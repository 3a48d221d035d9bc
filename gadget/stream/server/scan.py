"""One scan of one client of the server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress

import ismrmrd

from gadget.errors import ReconError, StreamError
from gadget.stream.host.link import Abandoned
from gadget.stream.host.pipeline import PipelineNode
from gadget.stream.host.run import run_pipeline
from gadget.stream.inbox import SILENCE_SECONDS, Inbox
from gadget.stream.server.log import SEND_SECONDS, log_to_client
from gadget.stream.server.pipeline import choose_pipeline
from gadget.stream.server.setup import Setup, parse_parameters, read_setup
from gadget.stream.wire.codec import encode, encode_bytes
from gadget.stream.wire.connection import LINGER_SECONDS, Connection
from gadget.stream.wire.shared_socket import PeerDisconnected

RESET_SECONDS = 1.0
"""How long to wait for a connection reset after data were sent to a client that is gone."""
DRAIN_SECONDS = 3600.0
"""How long a client may continue to send after its scan has failed."""

log = logging.getLogger(__name__)


class ScanService:
    """Reconstructs the scan of one client, and sends it images and log.

    Parameters
    ----------
    connection
        Connection to the client.
    default
        Nodes for a client that names no pipeline of this server.
    turn
        Context to run the scan in, entered when its first data have come.
    """

    def __init__(
        self,
        connection: Connection,
        default: Sequence[PipelineNode],
        turn: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._connection = connection
        self._default = default
        self._turn = turn
        self._inbox: Inbox | None = None
        self._gone = False
        self._images = 0

    def run(self) -> None:
        """Serve the client from its first message to its last, and close the connection.

        Raises nothing: a failure goes to the client and to the log.
        """
        try:
            with log_to_client(self._connection):
                self._reconstruct()
            self._shut_down()
        finally:
            self._connection.close()

    def _reconstruct(self) -> None:
        try:
            setup = read_setup(self._connection)
            if setup is None:
                log.debug("The client closed before it sent a header.")
                return
            with self._turn():
                self._inbox = Inbox(self._connection, watch_after_close=False)
                parameters = parse_parameters(setup.parameters)
                pipeline = choose_pipeline(setup.config, parameters, self._default)
                messages = self._messages(setup, self._inbox)
                run_pipeline(pipeline, setup.header, messages, self._send)
            log.info("The scan is finished: %d images.", self._images)
        except PeerDisconnected as error:
            log.info("No data came. %s", error)
        except Abandoned as error:
            self._gone = True
            log.warning("%s", error)
        except ReconError as error:
            log.error("%s", error)
        except Exception as error:  # a client must not end the server
            log.exception("%s: %s. That is an error of score-gadget.", type(error).__name__, error)

    def _messages(self, setup: Setup, inbox: Inbox) -> Iterator[bytes]:
        """Yield the messages of the client; called from another thread."""
        yield encode_bytes(setup.first)
        try:
            while (message := inbox.get()) is not None:
                yield encode_bytes(message)
        except PeerDisconnected as error:
            raise Abandoned(f"The client left in the middle of its scan. {error}") from error
        if inbox.ended_without_close:
            # The warning goes to the client, too: if it is gone, its machine resets the connection.
            log.warning("The client sends no more, without CLOSE (4): that counts as its end.")
            if self._connection.is_broken(RESET_SECONDS):
                raise Abandoned("The client left in the middle of its scan.")

    def _send(self, image: ismrmrd.Image) -> None:
        parts = encode(image)
        try:
            self._connection.write(parts, wait_s=SEND_SECONDS)
        except StreamError as error:
            raise Abandoned(f"The client takes no more images. {error}") from error
        self._images += 1

    def _shut_down(self) -> None:
        """Close the stream once the client has sent all: an earlier close would reset it."""
        if self._gone:
            return
        with suppress(StreamError):
            if self._inbox is None:
                self._connection.discard(SILENCE_SECONDS, LINGER_SECONDS)
            else:
                self._inbox.drain(DRAIN_SECONDS)
            self._connection.shut_down()

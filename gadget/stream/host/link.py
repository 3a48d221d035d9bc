"""Links between the nodes of a running pipeline, and what they tell the host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol, TypeAlias

import ismrmrd

from gadget.errors import ReconError, StreamError
from gadget.stream.progress import Progress
from gadget.stream.wire.codec import decode
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import Message, MessageId, text_of
from gadget.stream.wire.shared_socket import PeerDisconnected

CRASH_SECONDS = 5.0
"""How long to wait for the end of a process that has left its connection."""

log = logging.getLogger(__name__)


class RunningNode(Protocol):
    """A running node: a process of this host, or a server."""

    name: str

    def connect(self) -> Connection: ...
    def wait(self, seconds: float = ...) -> int | None: ...
    def ending(self) -> str: ...
    def words(self) -> str: ...
    def stop(self) -> None: ...


class Abandoned(StreamError):  # noqa: N818 - what happened, as in BrokenPipe
    """Nobody waits for the images any more; raised by `messages`, it ends a run at once."""


class Ended(NamedTuple):
    """The stream of one node has ended."""

    last: bool
    """Whether it was the last node of the pipeline."""


class Failure(NamedTuple):
    """Why images may be missing."""

    node: int
    """Index of the node, -1 for the input."""
    error: Exception
    observed: bool = False
    """Whether the host observed it; otherwise the node reported it."""


Event: TypeAlias = ismrmrd.Image | Progress | Ended | Abandoned


class Link:
    """Forwards what a node sends: to the next node, or images to the host.

    Parameters
    ----------
    number
        Index of the node.
    node, source
        The node, and the connection to it.
    target
        The connection to the next node; none behind the last one.
    post
        Called with each image, and at the end with `Ended`.
    failures
        Where failures of the node are added.
    """

    def __init__(
        self,
        number: int,
        node: RunningNode,
        source: Connection,
        target: Connection | None,
        post: Callable[[Event], None],
        failures: list[Failure],
    ) -> None:
        self._number = number
        self._node = node
        self._source = source
        self._target = target
        self._post = post
        self._failures = failures
        self._dropped: set[MessageId] = set()

    def run(self) -> None:
        """Forward until the node closes its stream or fails."""
        node = self._node
        try:
            while (message := self._source.read()).id is not MessageId.CLOSE:
                self._forward(message)
        except PeerDisconnected:
            node.wait(CRASH_SECONDS)
            self._fail(
                f"The node {node.name} {node.ending()} in the middle of its work.{node.words()}"
            )
        except ReconError as error:
            self._fail(f"The node {node.name} sent nonsense: {error}")
        except Exception as error:  # raised again in the calling thread
            # Ignored, the error would look like success with missing images.
            log.exception("What the node %s sent could not be taken.", node.name)
            self._fail(f"What the node {node.name} sent could not be taken: {error!r}.")
        finally:
            if self._target is not None:
                # What the next node already has still becomes images.
                with suppress(StreamError):
                    self._target.write_close()
            self._post(Ended(last=self._target is None))

    def _fail(self, text: str, *, observed: bool = True) -> None:
        self._failures.append(Failure(self._number, StreamError(text), observed))

    def _forward(self, message: Message) -> None:
        if message.id is MessageId.ERROR:
            self._fail(text_of(message), observed=False)
        elif self._target is None:
            self._handle(message)
        else:
            with suppress(PeerDisconnected):
                self._target.write_message(message)

    def _handle(self, message: Message) -> None:
        """Handle a message of the last node: images are for the caller."""
        if message.id is MessageId.IMAGE:
            self._post(decode(message))
        elif message.id is MessageId.TEXT:
            log.warning("The last node, %s, says: %s", self._node.name, text_of(message))
        elif message.id is not MessageId.WAVEFORM and message.id not in self._dropped:
            self._dropped.add(message.id)
            log.warning(
                "The last node, %s, sends %s, which is no image: dropped.",
                self._node.name,
                message.id.name,
            )

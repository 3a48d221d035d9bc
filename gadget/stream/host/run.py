"""The embedded host: runs a pipeline of external nodes the way a Gadgetron server does."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol, TypeAlias

import ismrmrd

from gadget.errors import ConfigError, ReconError, StreamError, reason
from gadget.mrd.xml_header.schema import sanitize_header
from gadget.stream.host.pipeline import Execute, PipelineNode
from gadget.stream.host.process import NodeProcess
from gadget.stream.host.remote import CONNECT_SECONDS, RemoteNode
from gadget.stream.progress import Progress
from gadget.stream.wire.codec import decode
from gadget.stream.wire.connection import Connection, PeerDisconnected
from gadget.stream.wire.messages import CLOSE, Message, MessageId, text_of

WAITING_EVENTS = 64
POLL_SECONDS = 0.2
CRASH_SECONDS = 5.0
SENDER_SECONDS = 5.0

log = logging.getLogger(__name__)


class _Node(Protocol):
    """A running node: a process of this host, or a server."""

    name: str

    def connect(self) -> Connection: ...
    def wait(self, seconds: float = ...) -> int | None: ...
    def ending(self) -> str: ...
    def words(self) -> str: ...
    def stop(self) -> None: ...


class Abandoned(StreamError):  # noqa: N818 - what happened, as in BrokenPipe
    """Nobody waits for the images any more; raised by `messages`, it ends a run at once."""


class _Ended:
    """The stream of one node has ended."""


class _Failure(NamedTuple):
    """Why images may be missing."""

    node: int
    """Index of the node, -1 for the input."""
    error: Exception
    observed: bool = False
    """Whether the host observed it; otherwise the node reported it."""


_Event: TypeAlias = ismrmrd.Image | Progress | _Ended | Abandoned


def run_pipeline(
    pipeline: Sequence[PipelineNode],
    header: bytes,
    messages: Iterable[bytes],
    on_image: Callable[[ismrmrd.Image], None],
    on_progress: Callable[[Progress], None] | None = None,
    *,
    connect_s: float = CONNECT_SECONDS,
) -> None:
    """Send data through the nodes of a pipeline and pass on the images that come out.

    No node that it started outlives the call, however it ends.

    Parameters
    ----------
    pipeline
        The nodes in their order.
    header
        The ISMRMRD XML header.
    messages
        Whole messages as bytes, one or more at a time; read in another thread. What they raise is
        raised after the images before it, but for `Abandoned`, which ends the run at once.
    on_image
        Called for each image, in order, in the calling thread.
    on_progress
        Called for each progress line of a node, in the calling thread.
    connect_s
        How long to retry to connect to nodes that are servers [s].

    Raises
    ------
    StreamError
        A node failed: its own sentence; or it crashed, hung or did not start. Images that it
        finished before have been passed on.
    Exception
        Whatever `messages` or a callback raises.
    """
    if not pipeline:
        raise ConfigError("The pipeline has no nodes: nothing would be reconstructed.")
    host = _Host(pipeline, on_image, on_progress, connect_s)
    host.run(sanitize_header(header), messages)


class _Host:
    """One run of a pipeline."""

    def __init__(
        self,
        pipeline: Sequence[PipelineNode],
        on_image: Callable[[ismrmrd.Image], None],
        on_progress: Callable[[Progress], None] | None,
        connect_s: float,
    ) -> None:
        self._pipeline = pipeline
        self._connect_s = connect_s
        self._on_image = on_image
        self._on_progress = on_progress
        self._events: queue.Queue[_Event] = queue.Queue(WAITING_EVENTS)
        self._stopped = threading.Event()
        self._nodes: list[_Node] = []
        self._connections: list[Connection] = []
        self._failures: list[_Failure] = []
        self._dropped: set[MessageId] = set()

    def run(self, header: bytes, messages: Iterable[bytes]) -> None:
        """Run the pipeline to its end."""
        sender = _same_named_thread(self._send_all, messages)
        try:
            for entry in self._pipeline:
                self._nodes.append(self._start(entry))
            for node, entry in zip(self._nodes, self._pipeline, strict=True):
                self._connections.append(node.connect())
                self._set_up(node, entry, header)
            sender.start()
            self._start_links()
            self._dispatch()
            self._check_exit()
        finally:
            self._stop()
            if sender.is_alive():
                sender.join(SENDER_SECONDS)

    def _start(self, entry: PipelineNode) -> _Node:
        if not isinstance(entry, Execute):
            return RemoteNode(entry, self._connect_s)
        try:
            return NodeProcess(entry, self._post_progress)
        except OSError as error:  # memory, processes or file descriptors are used up
            raise StreamError(
                f"The node {entry.target} cannot be started: {reason(error)}."
            ) from error

    def _set_up(self, node: _Node, entry: PipelineNode, header: bytes) -> None:
        try:
            self._connections[-1].write_setup(entry.configuration, header)
        except PeerDisconnected as error:
            node.wait(CRASH_SECONDS)
            raise StreamError(
                f"The node {node.name} {node.ending()} before its work began.{node.words()}"
            ) from error

    def _start_links(self) -> None:
        targets = itertools.zip_longest(self._nodes, self._connections, self._connections[1:])
        for number, arguments in enumerate(targets):
            _same_named_thread(self._link, number, *arguments).start()

    def _dispatch(self) -> None:
        """Handle events until all streams have ended, or after a failure the last one."""
        open_streams = len(self._nodes)
        while open_streams:
            event = self._events.get()
            if isinstance(event, _Ended):
                open_streams -= 1
                if event is _LAST and self._failures:
                    break
            elif isinstance(event, Abandoned):
                raise event
            elif isinstance(event, Progress):
                if self._on_progress is not None:
                    self._on_progress(event)
            else:
                self._on_image(event)
        self._raise_first()

    def _raise_first(self) -> None:
        # The nodes behind one that fails have too little to work on, and say so. What a node says
        # itself is nearer to the cause than how it was seen to end.
        failures = sorted(self._failures, key=lambda failure: (failure.node, failure.observed))
        for failure in failures[1:]:
            log.error("%s", failure.error)
        if failures:
            raise failures[0].error

    def _check_exit(self) -> None:
        """Raise if a node failed after it closed its stream."""
        for node in self._nodes:
            status = node.wait()
            if status is None:
                log.warning("The node %s did not end after its work: it is stopped.", node.name)
            elif status != 0:
                raise StreamError(
                    f"The node {node.name} {node.ending()} after it closed its stream: "
                    f"images may be missing.{node.words()}"
                )

    def _send_all(self, messages: Iterable[bytes]) -> None:
        target = self._connections[0]
        with suppress(StreamError):  # a node that is gone is reported where its output is read
            try:
                for block in messages:
                    target.write([block])
            except PeerDisconnected:
                raise
            except Abandoned as error:
                self._post(error)
            except Exception as error:  # noqa: BLE001 - raised again in the calling thread
                self._failures.append(_Failure(-1, error))
            target.write_message(CLOSE)

    def _link(
        self, number: int, node: _Node, source: Connection, target: Connection | None
    ) -> None:
        """Forward what a node sends to the next one, or to the caller."""

        def fail(text: str, observed: bool = True) -> None:
            self._failures.append(_Failure(number, StreamError(text), observed))

        try:
            while (message := source.read()).id is not MessageId.CLOSE:
                if message.id is MessageId.ERROR:
                    fail(text_of(message), observed=False)
                elif target is None:
                    self._handle(node, message)
                else:
                    with suppress(PeerDisconnected):
                        target.write_message(message)
        except PeerDisconnected:
            node.wait(CRASH_SECONDS)
            fail(f"The node {node.name} {node.ending()} in the middle of its work.{node.words()}")
        except ReconError as error:
            fail(f"The node {node.name} sent nonsense: {error}")
        except Exception as error:  # raised again in the calling thread
            # Ignored, the error would look like success with missing images.
            log.exception("What the node %s sent could not be taken.", node.name)
            fail(f"What the node {node.name} sent could not be taken: {error!r}.")
        finally:
            if target is None:
                self._post(_LAST)
            else:
                # What the next node already has still becomes images.
                with suppress(StreamError):
                    target.write_message(CLOSE)
                self._post(_Ended())

    def _handle(self, node: _Node, message: Message) -> None:
        """Handle a message of the last node: images are for the caller."""
        if message.id is MessageId.IMAGE:
            self._post(decode(message))
        elif message.id is MessageId.TEXT:
            log.warning("The last node, %s, says: %s", node.name, text_of(message))
        elif message.id is not MessageId.WAVEFORM and message.id not in self._dropped:
            self._dropped.add(message.id)
            log.warning(
                "The last node, %s, sends %s, which is no image: dropped.",
                node.name,
                message.id.name,
            )

    def _post_progress(self, progress: Progress) -> None:
        with suppress(queue.Full):
            self._events.put_nowait(progress)

    def _post(self, event: _Event) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._events.put(event, timeout=POLL_SECONDS)
                return

    def _stop(self) -> None:
        self._stopped.set()
        for node in self._nodes:
            node.stop()
        for connection in self._connections:
            connection.close()


_LAST = _Ended()


def _same_named_thread(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Return a thread of this one's name, by which log lines are assigned to a scan."""
    name = threading.current_thread().name
    return threading.Thread(target=target, args=arguments, name=name, daemon=True)

"""The embedded host: runs a pipeline of external nodes the way a Gadgetron server does."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import ismrmrd

from gadget.errors import ConfigError, StreamError, reason
from gadget.mrd.xml_header.schema import sanitize_header
from gadget.stream.host.link import (
    CRASH_SECONDS,
    Abandoned,
    Ended,
    Event,
    Failure,
    Link,
    RunningNode,
)
from gadget.stream.host.pipeline import Execute, PipelineNode
from gadget.stream.host.process import NodeProcess
from gadget.stream.host.remote import CONNECT_SECONDS, RemoteNode
from gadget.stream.progress import Progress
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.shared_socket import PeerDisconnected

WAITING_EVENTS = 64
POLL_SECONDS = 0.2
SENDER_SECONDS = 5.0

log = logging.getLogger(__name__)


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
        self._events: queue.Queue[Event] = queue.Queue(WAITING_EVENTS)
        self._stopped = threading.Event()
        self._nodes: list[RunningNode] = []
        self._connections: list[Connection] = []
        self._failures: list[Failure] = []

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

    def _start(self, entry: PipelineNode) -> RunningNode:
        if not isinstance(entry, Execute):
            return RemoteNode(entry, self._connect_s)
        try:
            return NodeProcess(entry, self._post_progress)
        except OSError as error:  # memory, processes or file descriptors are used up
            raise StreamError(
                f"The node {entry.target} cannot be started: {reason(error)}."
            ) from error

    def _set_up(self, node: RunningNode, entry: PipelineNode, header: bytes) -> None:
        try:
            self._connections[-1].write_setup(entry.configuration, header)
        except PeerDisconnected as error:
            node.wait(CRASH_SECONDS)
            raise StreamError(
                f"The node {node.name} {node.ending()} before its work began.{node.words()}"
            ) from error

    def _start_links(self) -> None:
        ends = itertools.zip_longest(self._nodes, self._connections, self._connections[1:])
        for number, (node, source, target) in enumerate(ends):
            link = Link(number, node, source, target, self._post, self._failures)
            _same_named_thread(link.run).start()

    def _dispatch(self) -> None:
        """Handle events until all streams have ended, or after a failure the last one."""
        open_streams = len(self._nodes)
        while open_streams:
            event = self._events.get()
            if isinstance(event, Ended):
                open_streams -= 1
                if event.last and self._failures:
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
                self._failures.append(Failure(-1, error))
            target.write_close()

    def _post_progress(self, progress: Progress) -> None:
        with suppress(queue.Full):
            self._events.put_nowait(progress)

    def _post(self, event: Event) -> None:
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


def _same_named_thread(target: Callable[..., None], *arguments: object) -> threading.Thread:
    """Return a thread of this one's name, by which log lines are assigned to a scan."""
    name = threading.current_thread().name
    return threading.Thread(target=target, args=arguments, name=name, daemon=True)

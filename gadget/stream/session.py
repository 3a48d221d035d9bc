"""One stream of data through one node.

Only the standard library is imported here, as in `gadget.stream.node`.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gadget.stream.inbox import Inbox
from gadget.stream.progress import Value
from gadget.stream.runtime import Runtime
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import Message

if TYPE_CHECKING:
    from gadget.diffusion.reconstruction import Reconstruction
    from gadget.diffusion.settings import SamplerSettings
    from gadget.mrd.buffers.buffer import Buffer
    from gadget.mrd.readouts.block import ReadoutBlock
    from gadget.mrd.xml_header.header import Header
    from gadget.stream.node import Node
    from gadget.stream.wire.codec import Item

BLOCK_BYTES = 2**22
"""Size of what is taken from the inbox at a time: what is done once for a block is little then."""


class Session:
    """One stream of data through one node.

    Iterating yields the items that the node accepts, in order; all others, such as waveforms, are
    forwarded unchanged.

    Parameters
    ----------
    connection
        Where the items come from and go to.
    inbox
        Queue of messages received on the connection.
    setup
        Texts of CONFIG and HEADER.
    node
        What the session is one of.
    runtime
        What the session runs in.
    """

    def __init__(
        self,
        connection: Connection,
        inbox: Inbox,
        setup: tuple[bytes, bytes],
        node: Node,
        runtime: Runtime,
    ) -> None:
        self.log = logging.getLogger(f"gadget.node.{node.name}")
        self._connection = connection
        self._inbox = inbox
        self._setup = setup
        self._node = node
        self._runtime = runtime

    @functools.cached_property
    def settings(self) -> Any:  # noqa: ANN401 - the class that the node names
        """Settings from the node's `<configuration>`; raises `ConfigError` where they are wrong."""
        from gadget.stream.settings import read_settings

        return read_settings(self._node.settings_model, self._setup[0], self._runtime.defaults)

    @functools.cached_property
    def header(self) -> Header:
        """The stream's XML header; raises `DataError` where it is invalid."""
        from gadget.mrd.xml_header.header_reader import parse_header

        return parse_header(self._setup[1])

    def __iter__(self) -> Iterator[Item]:
        from gadget.stream.wire.codec import decode

        while (message := self._inbox.get()) is not None:
            if self._accepts(message):
                yield decode(message)
            else:
                self._connection.write_message(message)

    def in_blocks(self) -> Iterator[Item | ReadoutBlock]:
        """Yield what iterating does, to the end; readouts in a row of one kind as blocks.

        None waits for others: a block is what has come.
        """
        from gadget.stream.wire.codec import decode_in_blocks

        while messages := self._inbox.take(BLOCK_BYTES):
            for accepted, group in itertools.groupby(messages, self._accepts):
                if accepted:
                    yield from decode_in_blocks(group)
                else:
                    for message in group:
                        self._connection.write_message(message)

    def _accepts(self, message: Message) -> bool:
        return message.id in self._node.accepts

    def send(self, item: Item | ReadoutBlock) -> None:
        """Send an item, or a block of readouts, to the next node.

        Raises
        ------
        StreamError
            Such an object cannot travel, or the other end is gone.
        """
        from gadget.stream.wire.codec import encode

        self.check()
        self._connection.write(encode(item))

    def reconstruct(
        self, settings: SamplerSettings, buffers: Iterable[Buffer]
    ) -> Generator[tuple[Buffer, Reconstruction], None, None]:
        """Yield each buffer with its reconstruction, in order."""
        return self._runtime.reconstruct(self, settings, buffers)

    def progress(self, text: str, **fields: Value) -> None:
        """Report progress, for example `progress("sampling", done=3, total=30)`."""
        self.check()
        self._runtime.report_progress(text, fields)

    def check(self) -> None:
        """Raise `StreamError` if the other end is gone and nobody waits for the result."""
        if self._inbox.disconnected is not None:
            raise self._inbox.disconnected

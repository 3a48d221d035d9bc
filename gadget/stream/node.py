"""Nodes of a pipeline, run by a Gadgetron server or by the embedded host.

A node is a function of a `Session`, marked with the decorator `node`. Modules of nodes and this
module need the standard library only: everything else is imported once the session runs, so that
an import that fails is reported to the other end like any other error.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from gadget.errors import ConfigError, ReconError, StreamError
from gadget.stream.inbox import Inbox
from gadget.stream.progress import Value
from gadget.stream.runtime import ProcessRuntime, Runtime, end_process
from gadget.stream.wire.connection import LINGER_SECONDS, Connection, PeerDisconnected
from gadget.stream.wire.gadgetron_socket import take_socket
from gadget.stream.wire.messages import CLOSE, MessageId

if TYPE_CHECKING:
    from pydantic import BaseModel

    from gadget.diffusion.reconstruct import Reconstruction
    from gadget.diffusion.settings import SamplerSettings
    from gadget.mrd.buffers.buffer import Buffer
    from gadget.mrd.xml_header.header import Header
    from gadget.stream.wire.codec import Item

DRAIN_SECONDS = 300.0
"""How long a failed node waits for the end of its input before it reports the error."""
ACCEPTED = (MessageId.ACQUISITION, MessageId.IMAGE, MessageId.RECON_DATA, MessageId.BUCKET)


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
        from gadget.mrd.xml_header.header import parse_header

        return parse_header(self._setup[1])

    def __iter__(self) -> Iterator[Item]:
        from gadget.stream.wire.codec import decode

        while (message := self._inbox.get()) is not None:
            if message.id in self._node.accepts:
                yield decode(message)
            else:
                self._connection.write_message(message)

    def send(self, item: Item) -> None:
        """Send an item to the next node.

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


class Node:
    """A function of a session, callable with a connection of gadgetron-python.

    Parameters
    ----------
    function
        What the node does.
    settings_path, accepts
        As in `node`.
    """

    def __init__(
        self,
        function: Callable[[Session], None],
        settings_path: str,
        accepts: tuple[MessageId, ...],
    ) -> None:
        self.function = function
        self.settings_path = settings_path
        self.accepts = accepts
        functools.update_wrapper(self, function)

    @property
    def name(self) -> str:
        """Name of the function, by which a pipeline calls the node."""
        return self.function.__name__

    @property
    def settings_model(self) -> type[BaseModel]:
        """Class of the settings, imported with all that it needs."""
        model: type[BaseModel] = resolve(self.settings_path)
        return model

    def __call__(self, gadgetron_connection: Any) -> None:  # noqa: ANN401 - of a package without types
        """Run as the target of `python -m gadgetron`; end with status 1 after a failure."""
        setup = gadgetron_connection.raw_bytes.config, gadgetron_connection.raw_bytes.header
        self.run_process(take_socket(gadgetron_connection), setup)

    def run_process(self, connection: Connection, setup: tuple[bytes, bytes]) -> NoReturn:
        """Run the one session that this process is for; end with status 1 after a failure."""
        logging.captureWarnings(True)
        done = self.run(connection, setup, ProcessRuntime(self.name))
        end_process(0 if done else 1)

    def run(
        self,
        connection: Connection,
        setup: tuple[bytes, bytes],
        runtime: Runtime | None = None,
    ) -> bool:
        """Run one session on a connection, close it, and return whether all went well.

        Raises nothing but `KeyboardInterrupt`: an error is logged and sent to the other end.
        """
        runtime = runtime or Runtime(self.name)
        inbox = Inbox(connection, on_disconnect=runtime.disconnected)
        session = Session(connection, inbox, setup, self, runtime)
        try:
            _ = session.settings  # a misspelt setting is told even where it is not used
            self.function(session)
            _forward_remaining(session)
            inbox.finish()
            connection.write_message(CLOSE)
            return True
        except PeerDisconnected as error:
            session.log.error("%s Nothing can be told to it.", error)
            return False
        except BaseException as error:
            known = isinstance(error, ReconError)  # a sentence says more than a traceback
            session.log.error("The node %s failed: %s", self.name, error, exc_info=not known)
            _report(f"score-gadget {self.name}: {_sentence(error)}", error, connection, inbox)
            if isinstance(error, KeyboardInterrupt):
                raise
            return False
        finally:
            inbox.finish()
            connection.close()


def node(
    settings_path: str, *, accepts: tuple[MessageId, ...] = ACCEPTED
) -> Callable[[Callable[[Session], None]], Node]:
    """Decorate a function of a session as a node.

    Parameters
    ----------
    settings_path
        Class of the settings as `package.module:Class`, imported when a session starts.
    accepts
        Messages that the function receives; all others are forwarded unchanged.
    """
    return lambda function: Node(function, settings_path, accepts)


def _forward_remaining(session: Session) -> None:
    count = sum(1 for _ in session)
    if count:
        session.log.warning("The node was done before its input: %d items were left over.", count)


def resolve(path: str) -> Any:  # noqa: ANN401 - whatever the path names
    """Import `package.module:name`."""
    module, _, name = path.partition(":")
    # Outside of `try`: what goes wrong within the module must not pass for a name that it lacks.
    found = importlib.import_module(module)
    try:
        return getattr(found, name)
    except AttributeError:
        raise ConfigError(f"The module {module} has no {name}.") from None


def find_node(module: str, target: str) -> Node:
    """Return the node that a pipeline names.

    Raises
    ------
    ConfigError
        There is no such node.
    """
    try:
        found = resolve(f"{module}:{target}")
    except (ImportError, ConfigError):
        found = None
    if not isinstance(found, Node):
        raise ConfigError(f"There is no node '{target}' in {module}.")
    return found


def _report(text: str, error: BaseException, connection: Connection, inbox: Inbox) -> None:
    """Report the failure of the node to the other end, once that listens."""
    drain_s = 0.0 if isinstance(error, KeyboardInterrupt) else DRAIN_SECONDS
    # Whatever goes wrong here must not hide the error that is being reported.
    with suppress(StreamError, OSError):
        drained = inbox.drain(drain_s)
        inbox.finish()
        connection.write_error(text)
        connection.write_close()
        if not drained:
            # Closing with unread data in the socket resets the connection, and a reset throws away
            # what the other end has not read yet: the error and the last image.
            connection.shut_down_writing()
            inbox.join(LINGER_SECONDS)


def _sentence(error: BaseException) -> str:
    if isinstance(error, ReconError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "The node was interrupted."
    if isinstance(error, SystemExit):
        return f"The node asked to exit (status {error.code}) before its work was done."
    if isinstance(error, MemoryError):
        return "The machine ran out of memory. Use smaller data, fewer samples or more memory."
    return f"{type(error).__name__}: {error} (the traceback is in the log of the node)"

"""Nodes of a pipeline, run by a Gadgetron server or by the embedded host.

A node is a function of a `Session`, marked with the decorator `node`. Modules of nodes and this
module need the standard library only: everything else is imported once the session runs, so that
an import that fails is reported to the other end like any other error.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from gadget.errors import ConfigError, ReconError
from gadget.stream.failure import report_failure
from gadget.stream.inbox import Inbox
from gadget.stream.runtime import ProcessRuntime, Runtime, end_process
from gadget.stream.session import Session
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.gadgetron_socket import take_socket
from gadget.stream.wire.messages import MessageId
from gadget.stream.wire.shared_socket import PeerDisconnected

if TYPE_CHECKING:
    from pydantic import BaseModel

ACCEPTED = (MessageId.ACQUISITION, MessageId.IMAGE, MessageId.RECON_DATA, MessageId.BUCKET)


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
            connection.write_close()
            return True
        except PeerDisconnected as error:
            session.log.error("%s Nothing can be told to it.", error)
            return False
        except BaseException as error:
            known = isinstance(error, ReconError)  # a sentence says more than a traceback
            session.log.error("The node %s failed: %s", self.name, error, exc_info=not known)
            report_failure(self.name, error, connection, inbox)
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

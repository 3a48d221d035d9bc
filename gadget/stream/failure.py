"""How the failure of a node is told to the other end.

Only the standard library is imported here, as in `gadget.stream.node`.
"""

from __future__ import annotations

from contextlib import suppress

from gadget.errors import ReconError, StreamError
from gadget.stream.inbox import Inbox
from gadget.stream.wire.connection import LINGER_SECONDS, Connection

DRAIN_SECONDS = 300.0
"""How long a failed node waits for the end of its input before it reports the error."""


def report_failure(node: str, error: BaseException, connection: Connection, inbox: Inbox) -> None:
    """Report the failure of a node to the other end, once that listens."""
    drain_s = 0.0 if isinstance(error, KeyboardInterrupt) else DRAIN_SECONDS
    # Whatever goes wrong here must not hide the error that is being reported.
    with suppress(StreamError, OSError):
        drained = inbox.drain(drain_s)
        inbox.finish()
        connection.write_error(f"score-gadget {node}: {_sentence(error)}")
        connection.write_close(wait_s=LINGER_SECONDS)
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

"""Warm-up of a resident server with a small simulated scan.

It takes the path of all scans, so that everything is imported, loaded and allocated after it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from gadget.errors import StreamError
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import MessageId, text_of

SCAN = SimulatedScan(matrix=256, coils=8, slices=1)
CONFIGURATION = (
    b'<configuration><property name="method" value="fast"/><property name="steps" value="2"/>'
    b'<property name="prewhiten" value="true"/><property name="output" value="magnitude"/>'
    b"</configuration>"
)


def warm_up(open_connection: Callable[[socket.socket], None]) -> None:
    """Send a simulated scan to a server.

    Parameters
    ----------
    open_connection
        Makes the server serve a connection.

    Raises
    ------
    StreamError
        The server failed; its own sentence.
    """
    ours, theirs = socket.socketpair()
    open_connection(theirs)
    connection = Connection(ours)
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "warm_up.h5"
            write_simulation(path, SCAN)
            with RawFile(path) as raw:
                connection.write_setup(CONFIGURATION, raw.header_xml)
                for block in raw.messages():
                    connection.write([block])
        connection.write_close()
        while (message := connection.read()).id is not MessageId.CLOSE:
            if message.id is MessageId.ERROR:
                raise StreamError(f"The warm-up failed. {text_of(message)}")
    finally:
        connection.close()

"""Warm-up of a resident server with a small simulated scan.

It takes the path of all scans, so that everything is imported, loaded and allocated after it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from gadget.errors import StreamError
from gadget.mrd.simulation.simulate import Simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan, xml_header
from gadget.stream.wire.codec import encode
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
        connection.write_setup(CONFIGURATION, xml_header(SCAN))
        for readout in Simulation(SCAN).readouts():
            connection.write(encode(readout))
        connection.write_close()
        while (message := connection.read()).id is not MessageId.CLOSE:
            if message.id is MessageId.ERROR:
                raise StreamError(f"The warm-up failed. {text_of(message)}")
    finally:
        connection.close()

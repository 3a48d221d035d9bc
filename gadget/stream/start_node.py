"""Start a node of this package as `python -m gadgetron` does, without gadgetron-python.

Run as a module: `python -m gadget.stream.start_node PORT MODULE TARGET`. Our nodes take no more of
gadgetron-python than a socket and two texts, and importing it, with the libraries of its examples,
takes longer than all that a node imports itself. Only the standard library is imported here.
"""

from __future__ import annotations

import logging
import os
import socket
import sys

from gadget.stream.node import Node, resolve
from gadget.stream.wire.connection import Connection

CONNECT_SECONDS = 30.0
LOG_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s [ext. %(process)d {target}] %(message)s"
"""As gadgetron-python writes it."""


def main(port: int, module: str, target: str) -> None:
    """Connect to the host and run the node; end with status 1 after a failure."""
    logging.basicConfig(
        format=LOG_FORMAT.format(target=f"{module}.{target}"),
        datefmt="%m-%d %H:%M:%S",
        level=os.environ.get("GADGETRON_EXTERNAL_LOG_LEVEL", "DEBUG"),
    )
    connection = Connection(socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS))
    node: Node = resolve(f"{module}:{target}")
    node.run_process(connection, connection.read_setup())


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

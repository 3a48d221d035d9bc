from __future__ import annotations

import socket
import threading

import pytest

from gadget.stream.wire.acceptor import Acceptor
from gadget.stream.wire.address import Address, connect, listen


@pytest.fixture
def listener():
    return listen(Address("127.0.0.1", 0))


def test_connections_come_with_their_addresses(listener):
    acceptor = Acceptor(listener)
    client = connect(Address(*listener.getsockname()), 1)
    sock, address = next(iter(acceptor))
    assert (address.host, address.port) == client.getsockname()
    sock.close()
    client.close()


def test_whoever_was_connected_by_the_end_is_accepted_and_nobody_after(listener):
    acceptor = Acceptor(listener)
    address = Address(*listener.getsockname())
    clients = [connect(address, 1) for _ in range(3)]
    acceptor.stop()
    accepted = []
    for sock, _ in acceptor:
        accepted.append(sock)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((address.host, address.port))
    assert len(accepted) == 3
    for sock in [*clients, *accepted]:
        sock.close()


def test_it_can_be_stopped_while_it_waits(listener):
    acceptor = Acceptor(listener)
    thread = threading.Thread(target=lambda: list(acceptor), daemon=True)
    thread.start()
    acceptor.stop()
    thread.join(5)
    assert not thread.is_alive()

"""A server tells its status, and one that does not is found out in time."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from gadget.errors import StreamError
from gadget.stream.resident.status import ServerStatus, answer_query, query_status
from gadget.stream.wire.address import Address
from gadget.stream.wire.connection import Connection

STATUS = ServerStatus(
    version="1.2.3",
    model="brain-base",
    sha256="0123456789abcdef" * 4,
    device="cuda:0",
    uptime_s=3 * 86400 + 62.4,
    scans=2,
    waiting=3,
    reconstructions=40,
    fallbacks=1,
    failures=5,
)


@pytest.fixture
def serve():
    """Runs a function on the connection that comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = []

        def start(function) -> Address:
            def run() -> None:
                sock, _ = listener.accept()
                with sock:
                    function(sock)

            threads.append(threading.Thread(target=run))
            threads[-1].start()
            return Address(*listener.getsockname())

        yield start
        for thread in threads:
            thread.join(20)


def reply(sock: socket.socket) -> None:
    connection = Connection(sock)
    answer_query(connection, connection.read(), STATUS)


def test_the_status_arrives_as_it_was_told(serve):
    assert query_status(serve(reply)) == STATUS


def test_the_status_in_words():
    assert STATUS.identity == (
        "score-gadget 1.2.3, model brain-base (sha256 0123456789ab) on cuda:0."
    )
    assert STATUS.activity == (
        "Up 3 days, 0:01:02, scans open 2, buffers waiting 3, reconstructions 40, by fallback 1, "
        "failed scans 5."
    )


def test_gadgetrons_own_queries_get_a_sentence(serve):
    """The frames of `gadgetron_ismrmrd_client -Q gadgetron::info`."""
    address = serve(reply)
    with socket.create_connection((address.host, address.port)) as sock:
        query = b"gadgetron::info"
        sock.sendall(struct.pack("<HQQQ", 6, 0, 17, len(query)) + query)
        sock.sendall(struct.pack("<H", 4))
        response = sock.makefile("rb").read()
    number, identifier, length = struct.unpack_from("<HQQ", response)
    assert (number, identifier) == (7, 17)
    assert (
        response[18 : 18 + length] == b"This server answers the query score-gadget::status alone."
    )
    assert response[18 + length :] == struct.pack("<H", 4)


def trickle(sock: socket.socket) -> None:
    try:
        sock.sendall(struct.pack("<HQQ", 7, 0, 1000))
        for _ in range(1000):
            sock.sendall(b"x")
            time.sleep(0.02)
    except OSError:
        pass


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda sock: time.sleep(1.0), "does not answer. Nothing arrived for 0.4 s"),
        (trickle, "does not answer"),
        (lambda sock: None, "does not answer"),
        (lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not answer"),
        (lambda sock: sock.sendall(struct.pack("<HQQ2s", 7, 0, 2, b"{}")), "no resident server"),
        (lambda sock: sock.sendall(struct.pack("<HQ4s", 8, 4, b"oops")), "no resident server"),
    ],
    ids=["silent", "trickling", "gone", "of the web", "without content", "failing"],
)
def test_a_server_without_a_sensible_answer_is_a_sentence_in_time(serve, function, sentence):
    address = serve(function)
    started = time.monotonic()
    with pytest.raises(StreamError, match=sentence):
        query_status(address, 0.4)
    assert time.monotonic() - started < 5


def test_nobody_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(*server.getsockname())
    with pytest.raises(StreamError, match=f"Nobody answers at {address}"):
        query_status(address)

"""A connection never hangs and never takes an accident for the end of the data."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time

import pytest

from gadget.errors import StreamError
from gadget.stream.wire.codec import decode, encode, encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.gadgetron_socket import take_socket
from gadget.stream.wire.messages import MessageId
from gadget.stream.wire.shared_socket import PeerDisconnected

CLOSE = struct.pack("<H", 4)


def receive(sock: socket.socket) -> bytes:
    sock.settimeout(5)
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_messages_in_pieces_arrive_whole(pair, acquisition):
    connection, theirs = pair
    wire = encode_bytes(acquisition(3)) + CLOSE

    def send():
        for start in range(0, len(wire), 5):
            theirs.sendall(wire[start : start + 5])

    thread = threading.Thread(target=send)
    thread.start()
    assert decode(connection.read()) == acquisition(3)
    assert connection.read().id is MessageId.CLOSE
    thread.join()


def test_messages_larger_than_the_buffer(pair, acquisition):
    connection, theirs = pair
    large = acquisition(1, coils=32, samples=4096)
    wire = encode_bytes(acquisition(0)) + encode_bytes(large) + encode_bytes(acquisition(2))
    thread = threading.Thread(target=theirs.sendall, args=(wire,))
    thread.start()
    for expected in (acquisition(0), large, acquisition(2)):
        assert decode(connection.read()) == expected
    thread.join()


@pytest.mark.parametrize("length", [0, 1, 2, 100, 360])
def test_a_vanished_peer_is_an_error(pair, acquisition, length):
    connection, theirs = pair
    theirs.sendall(encode_bytes(acquisition())[:length])
    theirs.close()
    with pytest.raises(PeerDisconnected, match="gone"):
        connection.read()


def test_a_reset_connection_is_an_error(pair):
    connection, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(PeerDisconnected):
        connection.read()


def test_a_message_that_stops_half_way_is_an_error(pair, acquisition):
    connection, theirs = pair
    connection.stall_s = 0.1
    theirs.sendall(encode_bytes(acquisition())[:-1])
    started = time.monotonic()
    with pytest.raises(StreamError, match=r"Nothing arrived for 0\.1 s"):
        connection.read()
    assert time.monotonic() - started < 2


def test_silence_between_messages_is_an_error(pair):
    connection, _ = pair
    connection.idle_s = 0.1
    with pytest.raises(StreamError, match=r"Nothing arrived for 0\.1 s"):
        connection.read()


def test_unknown_messages_are_an_error(pair):
    connection, theirs = pair
    theirs.sendall(struct.pack("<H", 1030))
    with pytest.raises(StreamError, match="1030"):
        connection.read()


def test_setup_comes_first(pair, acquisition):
    connection, theirs = pair
    theirs.sendall(encode_bytes(acquisition()))
    with pytest.raises(StreamError, match=r"CONFIG \(2\) must come before"):
        connection.read_setup()


def test_a_client_of_a_server_is_told_that_it_came_to_a_node(pair):
    connection, peer = pair
    peer.sendall(struct.pack("<H", 1) + b"default.xml".ljust(1024, b"\0"))
    with pytest.raises(StreamError, match="this is a node of one: send it to a Gadgetron or"):
        connection.read_setup()


def test_setup_round_trip(pair):
    connection, theirs = pair
    other = Connection(theirs)
    other.write_setup(b"<a/>", b"<b>\xc3\xbc</b>")
    assert connection.read_setup() == (b"<a/>", b"<b>\xc3\xbc</b>")


def test_error_and_close_on_the_wire(pair):
    connection, theirs = pair
    connection.write_error("Größe")
    connection.write_close()
    connection.close()
    text = "Größe".encode()
    assert receive(theirs) == struct.pack("<HQ", 8, len(text)) + text + CLOSE


def test_writing_to_a_vanished_peer_is_an_error(pair, acquisition):
    connection, theirs = pair
    theirs.close()
    with pytest.raises(PeerDisconnected, match="takes no more data"):
        for _ in range(100):
            connection.write(encode(acquisition(coils=8, samples=4096)))


def test_a_peer_that_reads_only_when_it_has_sent_all_is_waited_for(pair):
    connection, theirs = pair
    block = bytes(2**24)

    def send_then_receive() -> None:
        for _ in range(15):
            time.sleep(0.1)
            theirs.sendall(struct.pack("<HI", MessageId.TEXT, 0))
        theirs.sendall(CLOSE)
        received.append(receive(theirs))

    def read() -> None:
        while connection.read().id is not MessageId.CLOSE:
            pass

    received: list[bytes] = []
    threads = [threading.Thread(target=target) for target in (send_then_receive, read)]
    for thread in threads:
        thread.start()
    connection.write([block], wait_s=0.5)
    connection.close()
    for thread in threads:
        thread.join()
    assert received == [block]


def test_telling_an_error_to_a_peer_that_does_not_read_ends(pair, monkeypatch):
    connection, _ = pair
    block = bytes(2**20)
    with pytest.raises(StreamError, match="does not take data"):
        for _ in range(100):
            connection.write([block], wait_s=0.1)


def test_a_slow_reader_gets_everything_in_order(pair, acquisition):
    connection, theirs = pair
    items = [acquisition(count, coils=16, samples=512) for count in range(200)]
    parts = [encode(item) for item in items]

    def send():
        for part in parts:
            connection.write(part)
        connection.close()

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.1)
    assert receive(theirs) == b"".join(b"".join(part) for part in parts)
    thread.join()


def test_taking_over_leaves_gadgetron_python_nothing_to_close(pair):
    """Its `__exit__` would send a CLOSE, which reads as success, whatever happened."""
    ours, theirs = pair
    gadgetron = pytest.importorskip("gadgetron.external.connection")

    class Foreign(gadgetron.Connection):
        def __init__(self, sock):
            self.socket = gadgetron.Connection.SocketWrapper(sock)

    foreign = Foreign(ours._socket._socket)
    with pytest.raises(ValueError, match="boom"), foreign:
        connection = take_socket(foreign)
        raise ValueError("boom")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(10)
    connection.write_error("heard")
    theirs.setblocking(True)
    assert theirs.recv(100)[:2] == struct.pack("<H", 8)


def test_closing_while_a_thread_waits_takes_no_other_connection_for_this_one(pair, monkeypatch):
    """The number of a closed socket goes to the next one that is opened."""
    connection, _ = pair
    number = connection._socket._socket.fileno()
    registered, closed = threading.Event(), threading.Event()
    poll = select.poll

    class Poll:
        def __init__(self) -> None:
            self._poll = poll()

        def register(self, sock, events) -> None:
            self._poll.register(sock, events)
            registered.set()

        def poll(self, timeout):
            closed.wait(10)
            return self._poll.poll(timeout)

    monkeypatch.setattr("gadget.stream.wire.shared_socket.select.poll", Poll)
    raised = []

    def read() -> None:
        try:
            connection.read()
        except PeerDisconnected as error:
            raised.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    registered.wait(10)
    connection.close()
    others = [socket.socketpair() for _ in range(5)]
    assert number not in {one.fileno() for two in others for one in two}
    closed.set()
    thread.join(2)
    assert len(raised) == 1
    assert connection._socket._socket.fileno() == -1
    for one in (one for two in others for one in two):
        one.close()

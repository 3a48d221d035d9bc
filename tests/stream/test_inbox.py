"""The sender never waits for a computation, and memory stays bounded."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
import weakref

import pytest
from waiting import wait_until

from gadget.errors import StreamError
from gadget.stream.inbox import OVERHEAD_BYTES, Inbox
from gadget.stream.wire.codec import encode_bytes
from gadget.stream.wire.shared_socket import PeerDisconnected

CLOSE = struct.pack("<H", 4)


def test_the_sender_is_not_held_up(pair, acquisition):
    connection, theirs = pair
    block = encode_bytes(acquisition(coils=8, samples=4096))
    inbox = Inbox(connection)
    theirs.settimeout(5)
    for _ in range(100):  # 26 MB, more than sockets hold
        theirs.sendall(block)
    theirs.sendall(CLOSE)
    assert sum(1 for _ in iter(inbox.get, None)) == 100


def test_what_waits_is_bounded(pair, acquisition):
    connection, theirs = pair
    block = encode_bytes(acquisition(coils=8, samples=4096))
    inbox = Inbox(connection, limit_bytes=4 * len(block))
    thread = threading.Thread(target=lambda: theirs.sendall(block * 100 + CLOSE), daemon=True)
    thread.start()
    time.sleep(0.5)
    assert inbox._queued_bytes <= 4 * len(block)
    assert thread.is_alive()
    assert sum(1 for _ in iter(inbox.get, None)) == 100


def test_the_sender_waits_for_a_node_that_reads_but_not_for_one_that_computes(
    pair, acquisition, monkeypatch
):
    connection, theirs = pair
    block = encode_bytes(acquisition(coils=8, samples=4096))
    monkeypatch.setattr("gadget.stream.inbox.BUSY_LIMIT_BYTES", 4 * len(block))
    monkeypatch.setattr("gadget.stream.inbox.BUSY_SECONDS", 1.0)
    inbox = Inbox(connection)
    thread = threading.Thread(target=lambda: theirs.sendall(block * 200 + CLOSE), daemon=True)
    waiting = []
    theirs.sendall(block)
    for _ in range(51):
        assert inbox.get() is not None
        if not waiting:
            thread.start()
        time.sleep(0.005)
        waiting.append(inbox._queued_bytes)
    assert 0 < max(waiting) <= 4 * len(block)
    thread.join(10)
    assert not thread.is_alive()
    assert sum(1 for _ in iter(inbox.get, None)) == 150


def test_a_message_larger_than_the_bound_passes(pair, acquisition):
    connection, theirs = pair
    inbox = Inbox(connection, limit_bytes=10)
    theirs.sendall(encode_bytes(acquisition()) * 2 + CLOSE)
    assert sum(1 for _ in iter(inbox.get, None)) == 2


@pytest.mark.parametrize("limit", [10, 2**30])
def test_a_vanished_sender_is_noticed_while_nobody_takes(pair, acquisition, limit):
    connection, theirs = pair
    vanished = threading.Event()
    inbox = Inbox(connection, limit_bytes=limit, on_disconnect=vanished.set)
    theirs.sendall(encode_bytes(acquisition()) * 5)
    time.sleep(0.2)
    assert not vanished.is_set()
    theirs.close()
    assert vanished.wait(3)
    with pytest.raises(PeerDisconnected):
        inbox.get()


def test_what_a_vanished_sender_sent_does_not_stay_in_memory(pair, acquisition):
    connection, theirs = pair
    vanished = threading.Event()
    inbox = Inbox(connection, on_disconnect=vanished.set)
    theirs.sendall(encode_bytes(acquisition()) * 5)
    theirs.close()
    assert vanished.wait(3)
    with pytest.raises(PeerDisconnected) as caught:
        inbox.get()
    del caught
    assert not inbox._queue
    gone = weakref.ref(inbox)
    gc.disable()
    try:
        del inbox
        wait_until(lambda: gone() is None)  # the reader's thread is still ending
    finally:
        gc.enable()


def test_many_empty_messages_are_bounded_too(pair):
    connection, theirs = pair
    inbox = Inbox(connection, limit_bytes=20_000)
    empty = struct.pack("<HQ", 1023, 0)
    thread = threading.Thread(target=lambda: theirs.sendall(empty * 10**5 + CLOSE), daemon=True)
    thread.start()
    time.sleep(0.3)
    assert len(inbox._queue) <= 100
    assert inbox.drain(20)


def test_a_sender_that_leaves_after_close_is_noticed(pair):
    connection, theirs = pair
    vanished = threading.Event()
    inbox = Inbox(connection, on_disconnect=vanished.set)
    theirs.sendall(CLOSE)
    assert inbox.get() is None
    assert not vanished.wait(0.2)
    theirs.close()
    assert vanished.wait(3)


def test_after_the_work_the_sender_may_leave(pair):
    connection, theirs = pair
    vanished = threading.Event()
    inbox = Inbox(connection, on_disconnect=vanished.set)
    theirs.sendall(CLOSE)
    assert inbox.get() is None
    inbox.finish()
    theirs.close()
    inbox.join(3)
    assert not vanished.is_set()


def test_what_came_before_nonsense_is_still_there(pair, acquisition):
    connection, theirs = pair
    inbox = Inbox(connection)
    theirs.sendall(encode_bytes(acquisition()) + struct.pack("<H", 999))
    assert inbox.get() is not None
    with pytest.raises(StreamError, match="999"):
        inbox.get()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_setup_among_the_data_is_an_error(pair, number):
    connection, theirs = pair
    inbox = Inbox(connection)
    theirs.sendall(struct.pack("<H", number) + bytes(1024))
    with pytest.raises(StreamError, match="among the data"):
        inbox.get()


def test_several_messages_are_taken_up_to_a_size(pair, acquisition):
    connection, theirs = pair
    inbox = Inbox(connection)
    sent = [encode_bytes(acquisition(number)) for number in range(10)]
    theirs.sendall(b"".join(sent) + CLOSE)
    wait_until(lambda: inbox._closed)
    size = len(sent[0][2:]) + OVERHEAD_BYTES
    taken = [inbox.take(count_bytes) for count_bytes in (0, 3 * size, 2**20, 2**20)]
    assert [len(messages) for messages in taken] == [1, 3, 6, 0]
    payloads = [message.payload for messages in taken for message in messages]
    assert payloads == [one[2:] for one in sent]
    assert inbox._queued_bytes == 0


def test_what_has_come_is_taken_before_nonsense_is_told(pair, acquisition):
    connection, theirs = pair
    inbox = Inbox(connection)
    theirs.sendall(encode_bytes(acquisition()) * 3 + struct.pack("<H", 999))
    wait_until(lambda: inbox._failure is not None)
    assert len(inbox.take(2**20)) == 3
    with pytest.raises(StreamError, match="999"):
        inbox.take(2**20)


def test_texts_are_for_the_log(pair, caplog):
    connection, theirs = pair
    caplog.set_level("INFO")
    inbox = Inbox(connection)
    theirs.sendall(struct.pack("<HI", 5, 5) + b"hello" + CLOSE)
    assert inbox.get() is None
    assert "hello" in caplog.text


def test_draining_reads_to_the_end(pair, acquisition):
    connection, theirs = pair
    block = encode_bytes(acquisition(coils=8, samples=4096))
    inbox = Inbox(connection, limit_bytes=1)
    thread = threading.Thread(target=lambda: theirs.sendall(block * 100 + CLOSE), daemon=True)
    thread.start()
    assert inbox.drain(10)
    thread.join(5)  # it has sent everything, but may not have returned yet
    assert not thread.is_alive()


def test_draining_ends_in_time(pair):
    connection, _ = pair
    started = time.monotonic()
    assert not Inbox(connection).drain(0.2)
    assert time.monotonic() - started < 2


def test_a_reset_is_a_vanished_sender(pair):
    connection, theirs = pair
    inbox = Inbox(connection)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(PeerDisconnected):
        inbox.get()


def test_whoever_waits_for_data_is_woken_when_this_end_closes(pair):
    connection, _ = pair
    inbox = Inbox(connection)
    threading.Timer(0.1, lambda: (inbox.finish(), connection.close())).start()
    with pytest.raises(PeerDisconnected):
        inbox.get()

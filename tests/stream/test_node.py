"""Nodes as Gadgetron starts them: `python -m gadgetron PORT MODULE TARGET` on a real socket."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from full_socket import fill
from waiting import wait_until
from wire_bytes import messages_in

from gadget.errors import ConfigError, StreamError
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.stream.node import node, resolve
from gadget.stream.progress import WANTED
from gadget.stream.session import Session
from gadget.stream.wire.codec import decode, encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import UINT64, MessageId

CLOSE = struct.pack("<H", 4)


class Peer:
    """What a Gadgetron server is to a node."""

    def __init__(self, target: str, log: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
            command = [sys.executable, "-m", "gadgetron", port, "stream_targets", target]
            if log:
                command = ["sh", "-c", f'exec "$@" {log}', "sh", *command]
            self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
            server.settimeout(30)
            self.socket, _ = server.accept()
        self.socket.settimeout(30)

    def setup(self, header: bytes, configuration: bytes = b'<?xml version="1.0"?>\n') -> None:
        for number, text in ((2, configuration), (3, header)):
            self.socket.sendall(struct.pack("<HI", number, len(text)) + text)

    def receive(self) -> bytes:
        return b"".join(iter(lambda: self.socket.recv(2**20), b""))

    def end(self) -> tuple[int, str]:
        """Exit status and log of the node, which nobody waits for any more."""
        self.socket.close()
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log.decode()


@pytest.fixture
def start(targets):
    peers = []

    def make(target: str, log: str = "") -> Peer:
        peers.append(Peer(target, log))
        return peers[-1]

    yield make
    for peer in peers:
        peer.socket.close()
        peer.process.kill()
        peer.process.communicate()


def errors(messages) -> list[str]:
    return [
        bytes(message.payload[UINT64.size :]).decode()
        for message in messages
        if message.id is MessageId.ERROR
    ]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("echo", "acq"),
        ("echo", "bucket"),
        ("echo", "buffer"),
        ("decoded_echo", "acq"),
        ("decoded_echo", "buffer"),
    ],
)
def test_recordings_of_a_server_come_back_byte_for_byte(start, recording, target, name):
    wire = recording(name)
    setup = list(messages_in(wire))[:2]
    data = wire[sum(2 + len(message.payload) for message in setup) :]
    peer = start(target)
    sender = threading.Thread(target=peer.socket.sendall, args=(wire,))
    sender.start()
    assert peer.receive() == data
    sender.join()
    assert peer.end()[0] == 0


@node("gadget.nodes.settings:GatherSettings")
def idle(session: Session) -> None:
    pass


def test_a_slow_reader_gets_the_end_of_the_data(targets, header, monkeypatch):
    monkeypatch.setattr("gadget.stream.wire.connection.LINGER_SECONDS", 0.05)
    theirs, ours = socket.socketpair()
    fill(ours)
    theirs.sendall(CLOSE)
    done = []
    thread = threading.Thread(target=lambda: done.append(idle.run(Connection(ours), (b"", header))))
    thread.start()
    time.sleep(0.3)
    messages = list(messages_in(b"".join(iter(lambda: theirs.recv(2**20), b""))))
    thread.join()
    theirs.close()
    assert messages[-1].id is MessageId.CLOSE
    assert not errors(messages)
    assert done == [True]


def test_what_a_node_does_not_take_passes_on_in_order(start, header, acquisition, waveform):
    peer = start("picture")
    peer.setup(header)
    first, second = encode_bytes(waveform(2)), encode_bytes(waveform(4))
    image_array = struct.pack("<H2Q2QQ??", 1024, 1, 0, 1, 0, 0, False, False)
    peer.socket.sendall(first + encode_bytes(acquisition(1)) + second + image_array + CLOSE)
    wire = peer.receive()
    messages = list(messages_in(wire))
    assert [message.id for message in messages] == [1026, 1022, 1026, 1024, 4]
    assert wire.startswith(first)
    assert wire.endswith(second + image_array + CLOSE)
    assert peer.end()[0] == 0


def test_a_failure_is_told_after_the_input_was_read(start, header, acquisition):
    """An error sent while the other end still sends would break its connection."""
    peer = start("fail_at_third")
    peer.setup(header)
    block = encode_bytes(acquisition(coils=8, samples=4096))
    for _ in range(100):
        peer.socket.sendall(block)
    connection = Connection(peer.socket, idle_s=1.0)
    assert [connection.read().id for _ in range(2)] == [1022, 1022]
    with pytest.raises(StreamError, match="Nothing arrived"):
        connection.read()
    peer.socket.sendall(CLOSE)
    messages = [connection.read(), connection.read()]
    assert [message.id for message in messages] == [8, 4]
    assert "ValueError: the third readout is cursed" in errors(messages)[0]
    status, log = peer.end()
    assert status == 1
    assert "Traceback" in log
    assert 'raise ValueError("the third readout is cursed")' in log


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("wants_missing_package", "No module named 'package_that_does_not_exist'"),
        ("exits", "asked to exit (status 0)"),
    ],
)
def test_other_ways_to_fail_are_told(start, header, acquisition, target, sentence):
    peer = start(target)
    peer.setup(header)
    peer.socket.sendall(encode_bytes(acquisition()) + CLOSE)
    messages = list(messages_in(peer.receive()))
    assert [message.id for message in messages] == [8, 4]
    assert sentence in errors(messages)[0]
    assert errors(messages)[0].startswith(f"score-gadget {target}: ")
    assert peer.end()[0] == 1


@pytest.mark.parametrize(
    ("property_", "sentence"),
    [
        ('<property name="step" value="5"/>', "did you mean 'steps'?"),
        ('<property name="steps" value="many"/>', "'steps' must be a valid integer"),
    ],
)
def test_wrong_settings_are_told(start, header, property_, sentence):
    peer = start("echo")
    peer.setup(header, f"<configuration>{property_}</configuration>".encode())
    peer.socket.sendall(CLOSE)
    messages = list(messages_in(peer.receive()))
    assert [message.id for message in messages] == [8, 4]
    assert sentence in errors(messages)[0]
    assert peer.end()[0] == 1


@pytest.mark.parametrize("log", [">/dev/full 2>&1", ">&- 2>&-"])
def test_a_log_that_cannot_be_written_costs_no_image(start, header, acquisition, log, monkeypatch):
    """On a full disk each image had been made by a simpler method."""
    monkeypatch.setenv(WANTED, "1")
    peer = start("picture", log)
    peer.setup(header)
    peer.socket.sendall(encode_bytes(acquisition()) + CLOSE)
    assert [message.id for message in messages_in(peer.receive())] == [1022, 4]
    assert peer.end()[0] == 0


def test_nonsense_on_the_wire_is_told(start, header, acquisition):
    peer = start("picture")
    peer.setup(header)
    peer.socket.sendall(encode_bytes(acquisition()) + struct.pack("<H", 1030) + bytes(100) + CLOSE)
    messages = list(messages_in(peer.receive()))
    assert [message.id for message in messages] == [1022, 8, 4]
    assert "unknown number 1030" in errors(messages)[0]
    assert peer.end()[0] == 1


@pytest.mark.parametrize("farewell", [b"", CLOSE, b"\xf0"])
def test_a_node_ends_when_nobody_waits_for_it(start, header, acquisition, tmp_path, farewell):
    """In the middle of a computation: before CLOSE, after CLOSE, and within a message."""
    peer = start("computes_for_ever")
    file = tmp_path / "pid"
    peer.setup(
        header,
        f'<configuration><property name="pid_file" value="{file}"/></configuration>'.encode(),
    )
    peer.socket.sendall(encode_bytes(acquisition()) + farewell)
    wait_until(file.exists)
    assert peer.process.poll() is None
    peer.socket.close()
    started = time.monotonic()
    status, log = peer.end()
    assert time.monotonic() - started < 10
    assert status == 1
    assert "The other end is gone" in log


def test_a_vanished_peer_ends_a_waiting_node(start, header):
    peer = start("picture")
    peer.setup(header)
    time.sleep(0.5)
    peer.socket.close()
    status, log = peer.end()
    assert status == 1
    assert "The other end is gone" in log


def test_a_node_that_is_done_early_reads_its_input_to_the_end(start, header, acquisition):
    peer = start("done_early")
    peer.setup(header)
    for _ in range(100):
        peer.socket.sendall(encode_bytes(acquisition(coils=8, samples=4096)))
    peer.socket.sendall(CLOSE)
    assert [message.id for message in messages_in(peer.receive())] == [1022, 4]
    status, log = peer.end()
    assert status == 0
    assert "99 items were left over" in log


@pytest.fixture
def in_process(pair, header):
    """Runs a node in a thread, as a resident server does; gives its verdict."""
    connection, theirs = pair

    def run(target, configuration: bytes = b""):
        verdict = []
        thread = threading.Thread(
            target=lambda: verdict.append(target.run(connection, (configuration, header)))
        )
        thread.start()
        return Connection(theirs, idle_s=5, stall_s=5), thread, verdict

    return run


NO_SETTINGS = "gadget.stream.settings:NodeSettings"


def test_blocks_keep_the_order_of_the_stream(in_process, acquisition, waveform):
    sizes = []

    @node(NO_SETTINGS, accepts=(MessageId.ACQUISITION,))
    def echo_in_blocks(session: Session) -> None:
        wait_until(lambda: session._inbox._closed)  # all has come
        for item in session.in_blocks():
            sizes.append(len(item) if isinstance(item, ReadoutBlock) else 1)
            session.send(item)

    readouts = [acquisition(number) for number in range(5)]
    stream = [*readouts[:3], waveform(), *readouts[3:]]
    sent = [encode_bytes(item) for item in stream]
    peer, thread, verdict = in_process(echo_in_blocks)
    peer.write([*sent, CLOSE])
    found = [encode_bytes(peer.read()) for _ in sent]
    assert peer.read().id is MessageId.CLOSE
    thread.join()
    assert found == sent
    assert verdict == [True]
    assert sizes == [3, 2]


def test_settings_and_header_are_there(in_process, header):
    seen = []

    @node("gadget.stream.settings:NodeSettings")
    def look(session: Session) -> None:
        seen.append((session.settings, session.header))
        list(session)

    peer, thread, verdict = in_process(look)
    peer.write([CLOSE])
    assert peer.read().id is MessageId.CLOSE
    thread.join()
    assert verdict == [True]
    assert type(seen[0][0]).__name__ == "NodeSettings"
    assert seen[0][1].encodings[0].encoded.matrix == (8, 8, 1)


@pytest.mark.parametrize("path", ["gadget.stream.settings:Missing", "gadget.missing:Settings"])
def test_settings_that_cannot_be_imported_are_told(in_process, path):
    @node(path)
    def nothing(session: Session) -> None:
        list(session)

    peer, thread, verdict = in_process(nothing)
    peer.write([CLOSE])
    assert peer.read().id is MessageId.ERROR
    assert peer.read().id is MessageId.CLOSE
    thread.join()
    assert verdict == [False]


def test_sending_nonsense_is_told(in_process):
    @node(NO_SETTINGS)
    def send_nonsense(session: Session) -> None:
        session.send("image")

    peer, thread, verdict = in_process(send_nonsense)
    peer.write([CLOSE])
    assert b"type str cannot be sent" in peer.read().payload
    thread.join()
    assert verdict == [False]


def test_progress_ends_work_that_nobody_waits_for(in_process):
    steps = []

    @node(NO_SETTINGS)
    def work(session: Session) -> None:
        for step in range(1000):
            steps.append(step)
            session.progress("working", done=step, total=1000)
            time.sleep(0.01)

    peer, thread, verdict = in_process(work)
    peer.write([CLOSE])
    time.sleep(0.1)
    peer.close()
    thread.join(5)
    assert verdict == [False]
    assert len(steps) < 900


def test_an_error_is_not_hidden_by_a_vanished_peer(in_process, acquisition, caplog):
    working, gone = threading.Event(), threading.Event()

    @node(NO_SETTINGS)
    def fail(session: Session) -> None:
        next(iter(session))
        working.set()
        gone.wait(10)
        raise ValueError("the true reason")

    peer, thread, verdict = in_process(fail)
    peer.write([encode_bytes(acquisition())])
    working.wait(10)
    peer.close()
    gone.set()
    thread.join(10)
    assert verdict == [False]
    assert "the true reason" in caplog.text


def test_modules_of_nodes_need_the_standard_library_only():
    code = (
        "import sys, gadget.stream.start_node; "
        "print([name for name in ('numpy', 'ismrmrd', 'pydantic', 'torch') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert output.stdout.strip() == "[]"


def test_decoded_items_reach_the_node(in_process, acquisition):
    seen = []

    @node(NO_SETTINGS, accepts=(MessageId.ACQUISITION,))
    def collect(session: Session) -> None:
        seen.extend(session)

    peer, thread, _ = in_process(collect)
    peer.write([encode_bytes(acquisition(4)), CLOSE])
    assert peer.read().id is MessageId.CLOSE
    thread.join()
    assert seen == [acquisition(4)]
    assert decode(next(iter(messages_in(encode_bytes(seen[0]))))) == seen[0]


def test_what_is_wrong_within_a_module_is_not_taken_for_a_missing_name(tmp_path, monkeypatch):
    (tmp_path / "half_broken.py").write_text("import os\nos.no_such_function()\n")
    (tmp_path / "half_empty.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(AttributeError, match="no_such_function"):
        resolve("half_broken:node")
    with pytest.raises(ConfigError, match="The module half_empty has no node"):
        resolve("half_empty:node")

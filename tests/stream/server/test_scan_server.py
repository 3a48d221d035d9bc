"""The server for clients without Gadgetron: real nodes, and clients that do as scanners do."""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from waiting import wait_until

from gadget.errors import StreamError
from gadget.stream.server.scan_server import ScanServer
from gadget.stream.wire.address import Address, listen
from gadget.stream.wire.codec import decode, encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import MessageId

CLOSE = struct.pack("<H", 4)


class Client:
    """A client that sends what it is log_to_client."""

    def __init__(self, address: tuple[str, int], header: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.connection = Connection(self.socket, idle_s=30.0)
        self.start = struct.pack("<H1024s", 1, b"default") + struct.pack("<HI", 3, len(header))
        self.start += header

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def receive(self, images: int | None = None, until: str | None = None) -> tuple[list[int], str]:
        """Return numbers of images and the texts, until CLOSE, so many images or that text."""
        numbers, texts = [], ""
        while (message := self.connection.read()).id is not MessageId.CLOSE:
            if message.id is MessageId.IMAGE:
                numbers.append(decode(message).image_index)
            else:
                assert message.id is MessageId.TEXT
                assert message.payload.endswith(b"\n\0")
                texts += bytes(message.payload[4:-1]).decode()
            if len(numbers) == images or (until is not None and until in texts):
                return numbers, texts
        assert self.socket.recv(1) == b""
        self.connection.close()
        return numbers, texts


@pytest.fixture
def serve(targets, header, caplog):
    """Starts a server of a pipeline of targets, and makes clients of it."""
    caplog.set_level("INFO", "gadget")

    @contextmanager
    def start(*names: str, clients: int = 4, finish_s: float = 20.0, **properties: object):
        handlers = list(logging.getLogger("gadget").handlers)
        pipeline = targets(*names, **properties)
        listener = listen(Address("127.0.0.1", 0))
        address = listener.getsockname()
        cut_off: list[StreamError] = []

        def serve() -> None:
            try:
                server.serve()
            except StreamError as error:
                logging.getLogger("gadget").error("%s", error)
                cut_off.append(error)

        server = ScanServer(listener, pipeline, clients, finish_s=finish_s)
        with ExitStack() as connected:
            thread = threading.Thread(target=serve)
            thread.start()

            def connect() -> Client:
                client = Client(address, header)
                connected.callback(client.connection.close)
                return client

            try:
                yield connect
            except BaseException:
                connected.close()  # or the server would wait for them
                raise
            finally:
                server.stop()
                thread.join()
        assert bool(cut_off) == (finish_s < 1)
        # A client that was cut off has left only now.
        wait_until(lambda: logging.getLogger("gadget").handlers == handlers)

    return start


@pytest.fixture
def readouts(acquisition):
    return [encode_bytes(acquisition(count)) for count in range(5)]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_images_come_while_the_scan_goes_on(serve, readouts, waveform):
    with serve("picture") as connect:
        client = connect()
        client.send(client.start, struct.pack("<HI", 5, 17), b'{"parameters":{}}')
        client.send(readouts[0], encode_bytes(waveform()), readouts[1])
        numbers, texts = client.receive(images=2)
        assert numbers == [0, 1]
        assert "INFO     The pipeline 'default' is not one of this server's" in texts
        client.send(*readouts[2:], CLOSE)
        numbers, texts = client.receive()
        assert numbers == [2, 3, 4]
        assert texts.endswith("INFO     The scan is finished: 5 images.\n")


@pytest.mark.parametrize("rest", [b"", b"\xf0\3half a readout"], ids=["whole", "half a message"])
def test_a_client_that_only_stops_sending_gets_its_images(serve, readouts, rest):
    with serve("picture") as connect:
        client = connect()
        client.send(client.start, *readouts, rest)
        client.socket.shutdown(socket.SHUT_WR)
        numbers, texts = client.receive()
        assert numbers == [0, 1, 2, 3, 4]
        assert "WARNING  The client sends no more, without CLOSE (4)" in texts


def test_a_failing_node_is_told_and_its_images_are_kept(serve, readouts, caplog):
    with serve("fail_at_third") as connect:
        client = connect()
        client.send(client.start, *readouts)
        assert client.receive(images=2)[0] == [0, 1]
        client.send(*readouts * 50, CLOSE)
        assert "ERROR    score-gadget fail_at_third: ValueError: the third" in client.receive()[1]
    assert "the third readout is cursed" in caplog.text


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "unknown number 17735"),
        (CLOSE[:1], ""),
        (CLOSE, "\4\0"),
        (b"", ""),
    ],
    ids=["another protocol", "half a message", "nothing but CLOSE", "nothing"],
)
def test_what_is_no_scan_is_turned_away(serve, sent, sentence):
    with serve("picture") as connect:
        client = connect()
        client.send(sent)
        client.socket.shutdown(socket.SHUT_WR)
        assert sentence.encode() in b"".join(iter(lambda: client.socket.recv(4096), b""))


def test_a_wrong_parameter_is_told_at_once_and_the_client_sends_on(serve, readouts):
    with serve("picture") as connect:
        client = connect()
        text = b'{"parameters": {"config": "score_hybrid", "steps": "0"}}'
        client.send(client.start, struct.pack("<HI", 5, len(text)), text, readouts[0])
        client.receive(until="ERROR    Property 'steps' must be greater than or equal to 1")
        client.send(*readouts * 50)
        assert select.select([client.socket], [], [], 0.3)[0] == []
        client.send(CLOSE)
        assert client.receive() == ([], "")


def test_a_wrong_header_is_told(serve, readouts):
    with serve("picture") as connect:
        client = connect()
        client.send(struct.pack("<H1024sHI", 1, b"a", 3, 4), b"<a/>", *readouts, CLOSE)
        assert "ERROR    The header must be an <ismrmrdHeader>" in client.receive()[1]


def test_what_breaks_off_among_the_data_is_told_after_its_images(serve, readouts):
    with serve("picture") as connect:
        client = connect()
        client.send(client.start, *readouts[:2], struct.pack("<H", 999), b"rubbish")
        numbers, texts = client.receive()
        assert numbers == [0, 1]
        assert "ERROR    A message with the unknown number 999 arrived" in texts


def test_a_client_that_shuts_down_its_side_gets_its_images(serve, readouts):
    with serve("picture") as connect:
        client = connect()
        client.send(client.start, *readouts, CLOSE)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.receive()[0] == [0, 1, 2, 3, 4]


def test_a_client_that_vanishes_takes_its_nodes_with_it(serve, readouts, tmp_path, caplog):
    with serve("computes_for_ever", pid_file=tmp_path / "pid") as connect:
        client = connect()
        client.send(client.start, readouts[0])
        wait_until((tmp_path / "pid").exists)
        client.socket.close()
        pid = int((tmp_path / "pid").read_text())
        wait_until(lambda: not alive(pid))
    assert "The client left in the middle of its scan" in caplog.text


def test_several_clients_at_once_and_one_that_waits(serve, readouts):
    with serve("picture", clients=2) as connect:
        one, other, last = (connect() for _ in range(3))
        # One after another: of clients that come at once, any may be the one that waits.
        one.send(one.start, readouts[0])
        assert one.receive(images=1)[0] == [0]
        other.send(other.start, readouts[1])
        assert other.receive(images=1)[0] == [1]
        last.send(last.start, readouts[2])
        assert last.receive(until="this one waits for its turn")[0] == []
        assert select.select([last.socket], [], [], 0.2)[0] == []
        one.send(readouts[3], CLOSE)
        numbers, texts = one.receive()
        assert numbers == [3]
        assert "The scan is finished: 2 images" in texts
        assert last.receive(images=1)[0] == [2]
        other.send(CLOSE)
        last.send(CLOSE)
        numbers, texts = other.receive()
        assert texts.count("INFO") == texts.count("The scan is finished: 1 images") == 1
        assert last.receive()[0] == []


def test_clients_without_data_take_no_place_and_do_not_delay_the_end(serve, readouts, caplog):
    with serve("picture", clients=1) as connect:
        idle, _silent, client = (connect() for _ in range(3))
        idle.send(idle.start)
        client.send(client.start, readouts[0], CLOSE)
        assert client.receive()[0] == [0]
        started = time.monotonic()
    assert time.monotonic() - started < 15
    assert caplog.text.count("No data came. The connection was closed at this end.") == 2


def test_the_server_ends_when_the_scans_are_finished(serve, readouts):
    def go_on(client: Client) -> list[int]:
        time.sleep(0.3)
        client.send(readouts[1], CLOSE)
        return client.receive()[0]

    with ThreadPoolExecutor() as pool, serve("picture") as connect:
        client = connect()
        client.send(client.start, readouts[0])
        client.receive(images=1)
        rest = pool.submit(go_on, client)
    assert rest.result() == [1]


def test_the_end_does_not_wait_for_ever_for_a_client_that_is_silent(serve, readouts, caplog):
    with serve("picture", clients=1, finish_s=0.5) as connect:
        silent, waiting = connect(), connect()
        silent.send(silent.start, readouts[0])
        assert silent.receive(images=1)[0] == [0]
        waiting.send(waiting.start)
    assert "did not end within 0.5 s and are cut off: 1" in caplog.text

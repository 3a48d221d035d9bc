"""A client of servers that do right and wrong."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from contextlib import closing

import ismrmrd
import numpy as np
import pytest
from full_socket import fill

from gadget.errors import ConfigError, DataError, StreamError
from gadget.stream.client import run_on_server
from gadget.stream.wire.codec import encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import MessageId

CLOSE = struct.pack("<H", 4)


def image(index: int) -> bytes:
    pixels = np.full((1, 1, 2, 3), index, np.float32)
    return encode_bytes(ismrmrd.Image.from_array(pixels, transpose=False, image_index=index))


def text(content: str) -> bytes:
    return struct.pack("<HI", 5, len(content)) + content.encode()


@pytest.fixture
def readouts(acquisition):
    return [encode_bytes(acquisition(count)) for count in range(5)]


class Server:
    """Answers one client as it is told, and keeps what the client has sent."""

    def __init__(self, header: bytes) -> None:
        self.header = header
        self.images: list[int] = []
        self.received: list = []

    def run(self, *answers: bytes, pipeline="default.xml", messages=(), read=True):
        """Run a client on a server that sends the answers when the client has sent all."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._serve, args=(listener, answers, read))
            thread.start()
            try:
                run_on_server(
                    f"127.0.0.1:{listener.getsockname()[1]}",
                    pipeline,
                    self.header,
                    messages,
                    lambda one: self.images.append(one.image_index),
                )
            finally:
                thread.join(10)

    def _serve(self, listener: socket.socket, answers: tuple[bytes, ...], read: bool) -> None:
        sock = listener.accept()[0]
        connection = Connection(sock)
        while read:
            self.received.append(connection.read())
            if self.received[-1].id is MessageId.CLOSE:
                break
        sock.sendall(b"".join(answers))
        if read:
            time.sleep(0.02)  # the last bytes are not overtaken by a reset
        sock.close()


@pytest.fixture
def server(header):
    return Server(header)


def test_sends_what_gadgetrons_client_sends(server, readouts, waveform, header):
    messages = [readouts[0] + readouts[1], encode_bytes(waveform())]
    server.run(image(3), image(1), CLOSE, messages=messages)
    config, head, *data, close = server.received
    assert config.id is MessageId.FILENAME
    assert config.payload == b"default.xml".ljust(1024, b"\0")
    assert (head.id, head.payload[4:]) == (MessageId.HEADER, header)
    assert b"".join(one.id.to_bytes(2, "little") + one.payload for one in data) == (
        b"".join(messages)
    )
    assert close.id is MessageId.CLOSE
    assert server.images == [3, 1]


@pytest.mark.parametrize("prefix", ["", "m:"])
def test_sends_no_version_that_gadgetron_would_not_pass_to_its_nodes(server, header, prefix):
    start = header.index(b">", header.index(b"<ismrmrdHeader")) + 1
    version = f"\n\t<{prefix}version>8</{prefix}version>".encode()
    server.header = header[:start] + version + header[start:]
    server.run(image(1), CLOSE)
    assert b"version>" not in server.received[1].payload


def test_sends_the_text_of_a_pipeline(server):
    server.run(image(1), CLOSE, pipeline=b"<configuration/>")
    assert server.received[0].id is MessageId.CONFIG
    assert server.received[0].payload[4:] == b"<configuration/>"


def test_a_busy_server_gets_the_end_of_the_data(header, monkeypatch):
    """However long it takes no more of them."""
    monkeypatch.setattr("gadget.stream.wire.connection.LINGER_SECONDS", 0.05)
    theirs, ours = socket.socketpair()
    monkeypatch.setattr("gadget.stream.client.connect", lambda *_: ours)
    full = threading.Event()

    def serve():
        full.wait()
        time.sleep(0.3)
        with closing(Connection(theirs, idle_s=2)) as server:
            while server.read().id is not MessageId.CLOSE:
                pass
            server.write([image(1), CLOSE])

    def messages():
        fill(ours)
        full.set()
        yield from ()

    thread = threading.Thread(target=serve)
    thread.start()
    images = []
    run_on_server("localhost:1", "default.xml", header, messages(), images.append)
    thread.join()
    assert len(images) == 1


def test_takes_images_while_it_sends(header, readouts):
    """A server that answers every readout at once, so that nothing else would get through."""
    images = []

    def echo(listener: socket.socket) -> None:
        connection = Connection(listener.accept()[0])
        connection.read(), connection.read()
        for index in range(20):
            assert connection.read().id is MessageId.ACQUISITION
            connection.write([image(index)])
        assert connection.read().id is MessageId.CLOSE
        connection.write_close()
        connection.close()

    def messages():
        for index in range(20):
            while len(images) < index:
                time.sleep(0.001)
            yield readouts[0]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=echo, args=(listener,))
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        run_on_server(address, "a", header, messages(), images.append)
        thread.join()
    assert [one.image_index for one in images] == list(range(20))


def test_log_lines_are_no_errors(server, caplog):
    caplog.set_level("INFO", "gadget")
    fire = text("INFO     one\n\0"), text("DEBUG    two\0"), text("WARNING  three"), image(1), CLOSE
    server.run(*fire)
    assert caplog.messages == [
        f"The server says: {line}" for line in ("INFO     one", "DEBUG    two", "WARNING  three")
    ]


@pytest.mark.parametrize(
    "error",
    [
        text("[Connection Main Thread] ERROR: NoiseAdjust failed"),
        text("ERROR    NoiseAdjust failed\n\0"),
        struct.pack("<HQ", 8, 18) + b"NoiseAdjust failed",
    ],
    ids=["gadgetron", "fire", "node"],
)
def test_errors_of_the_server_are_errors_here(server, error):
    with pytest.raises(StreamError, match=r"The server reports: .*NoiseAdjust failed$"):
        server.run(image(1), error, CLOSE)
    assert server.images == [1]


def test_a_pipeline_that_gadgetron_does_not_have(server):
    said = text(
        "[Connection Main Thread/Connection Input Thread] ERROR: Error reading from file/stream"
    )
    with pytest.raises(StreamError, match=r"does not find the pipeline 'mine\.xml'.*send a file"):
        server.run(said, CLOSE, pipeline="mine.xml")
    with pytest.raises(StreamError, match=r"^The server reports"):
        server.run(said, CLOSE, pipeline=b"<configuration/>")


def test_an_error_before_the_end_of_the_connection_is_the_reason(server):
    with pytest.raises(StreamError, match=r"The server reports: out of memory$"):
        server.run(text("out of memory"))


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ((CLOSE,), "closed the stream without an image and without a reason"),
        ((text("INFO     done"), CLOSE), "closed the stream without an image"),
        ((), "failed after 0 images. The other end is gone"),
        ((image(1), image(2)[:-3]), "failed after 1 images. The other end is gone"),
        ((image(1), struct.pack("<H", 1012)), "failed after 1 images. .*unknown number 1012"),
    ],
)
def test_a_server_that_does_not_deliver_is_an_error(server, answers, sentence):
    with pytest.raises(StreamError, match=sentence):
        server.run(*answers)


def test_a_server_that_vanishes_while_it_is_sent_to(server, readouts):
    with pytest.raises(StreamError, match="failed after 0 images"):
        server.run(messages=readouts * 2000, read=False)


def test_a_silent_server_is_an_error(header):
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(StreamError, match=r"Nothing arrived for 0\.2 s"),
    ):
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        run_on_server(address, "a", header, [], print, idle_s=0.2)


def test_nobody_answers(header):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(StreamError, match=f"Nobody answers at {address}"):
        run_on_server(address, "a", header, [], print, connect_s=0.1)


def test_the_name_of_a_pipeline_that_is_no_utf_8_is_sent_as_it_was_typed(server):
    server.run(image(1), CLOSE, pipeline=os.fsdecode(b"m\xfcller.xml"))
    assert server.received[0].payload.startswith(b"m\xfcller.xml\0")


def test_what_cannot_be_sent(header):
    with pytest.raises(ConfigError, match="no address"):
        run_on_server("localhost", "a", header, [], print)
    with pytest.raises(ConfigError, match="at most 1023 bytes, this one 1024"):
        run_on_server("localhost:9002", "ä" * 512, header, [], print)


def test_errors_of_the_input_are_raised_after_its_images(server, readouts):
    def messages():
        yield readouts[0]
        raise DataError("The file ends here.")

    with pytest.raises(DataError, match="ends here"):
        server.run(image(1), CLOSE, messages=messages())
    assert server.images == [1]
    assert [one.id for one in server.received][-2:] == [MessageId.ACQUISITION, MessageId.CLOSE]


def test_errors_of_the_caller_end_the_run(header, server):
    server.images = None
    with pytest.raises(AttributeError):
        server.run(image(1), CLOSE)

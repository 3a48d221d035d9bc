"""`score-gadget node` as processes: replays that connect to it, its status and its signals."""

from __future__ import annotations

import re
import resource
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_until

from gadget.mrd.images.reader import read_images
from gadget.mrd.raw.raw_file import RawFile
from gadget.stream.host.pipeline import find_pipeline
from gadget.stream.resident.status import query_status
from gadget.stream.wire.address import Address
from gadget.stream.wire.codec import decode
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import MessageId

CLOSE = struct.pack("<H", MessageId.CLOSE)
MODEL = '<property name="model" value="{}"/>'
STEPS = '<property name="steps" value="3"/>'
LONG = "<configuration><property name='method' value='paper'/></configuration>"


class Node:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = ""
        self.read_log("Ready at")
        self.port = int(re.search(r"Ready at .*:(\d+)\.$", self.log, re.M)[1])

    def read_log(self, text: str) -> None:
        """Return when the log has this text."""
        while text not in self.log:
            line = self.process.stderr.readline()
            assert line, f"it ended: {self.log}"
            self.log += line

    def connect(self) -> Connection:
        return Connection(socket.create_connection(("127.0.0.1", self.port)), idle_s=60)

    def end(self) -> int:
        """Exit status; the log is complete then."""
        _, rest = self.process.communicate(timeout=30)
        self.log += rest
        return self.process.returncode


@pytest.fixture
def node(start, models):
    """Starts servers of the model `tiny`."""

    def make(*options: str, **process) -> Node:
        command = ("node", "--bind", "127.0.0.1:0", "--model", "tiny", *options)
        return Node(start(*command, **process))

    return make


def remote_pipeline(tmp_path: Path, port: int, properties: str) -> Path:
    """The pipeline of the package with another port and other settings."""
    text = find_pipeline("score_hybrid_remote").read_text()
    text = text.replace('port="18000"', f'port="{port}"')
    path = tmp_path / "remote.xml"
    path.write_text(text.replace('<property name="seed" value="0"/>', properties))
    return path


def test_a_node_starts_beside_a_full_disk(node):
    server = node(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    server.process.terminate()
    assert server.end() == 0


def test_replays_get_the_images_of_a_node_of_their_own(run, raw, pipeline, node, tmp_path):
    server = node()
    alone = ("reconstruct", STEPS + MODEL.format("tiny"))
    whole = pipeline("prewhiten", "gather", alone, "finish")
    assert run("replay", raw, "-o", "own.h5", "-c", whole).returncode == 0
    for name, properties in (("tiny", STEPS), ("other", STEPS + MODEL.format("other"))):
        remote = remote_pipeline(tmp_path, server.port, properties)
        done = run("replay", raw, "-o", f"{name}.h5", "-c", remote)
        assert done.returncode == 0, done.stderr
    own, tiny, other = (read_images(tmp_path / f"{name}.h5") for name in ("own", "tiny", "other"))
    for one, two, three in zip(own, tiny, other, strict=True):
        np.testing.assert_array_equal(one.data, two.data)
        assert (one.data != three.data).any()
        assert one.slice == two.slice == three.slice
        models = [image.meta["ScoreGadget_model"] for image in (one, two, three)]
        assert models == ["tiny", "tiny", "other"]
    told = run("node", "--bind", f"127.0.0.1:{server.port}", "status")
    assert told.returncode == 0, told.stderr
    assert "model tiny (sha256 " in told.stdout
    assert "scans open 0, buffers waiting 0, reconstructions 4, by fallback 0" in told.stdout
    server.process.terminate()
    assert server.end() == 0
    assert len(re.findall(r"INFO scan of 127.0.0.1:\d+: image \d: method fast", server.log)) == 4
    assert server.log.count("Model other loaded to cpu") == 1


def send(connection: Connection, raw: Path, configuration: str) -> None:
    with RawFile(raw) as file:
        connection.write_setup(configuration.encode(), file.header_xml)
        connection.write(list(file.messages()))


def wait_for_work(server: Node) -> None:
    """Return when the server has buffers of a scan that is not over."""
    wait_until(lambda: query_status(Address("127.0.0.1", server.port)).waiting)


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGHUP, signal.SIGHUP]])
def test_a_signal_lets_the_open_scan_end_and_images_arrive(raw, node, numbers):
    server = node("--set", "steps=60", "--set", "seed=1")
    connection = server.connect()
    send(connection, raw, "")
    wait_for_work(server)
    for number in numbers:
        server.process.send_signal(number)
        time.sleep(0.2)
    connection.write([CLOSE])
    images = [decode(connection.read()) for _ in range(2)]
    assert [image.slice for image in images] == [0, 1]
    assert [image.meta["ScoreGadget_steps"] for image in images] == ["60", "60"]
    assert connection.read().id is MessageId.CLOSE
    connection.close()
    assert server.end() == 0
    assert "No more connections are accepted; scans that are still open: 1." in server.log
    assert "All scans are finished." in server.log


def test_a_second_signal_ends_it_at_once(raw, node):
    server = node("--bind", "0.0.0.0:0")
    assert "WARNING MainThread: 0.0.0.0:" in server.log
    assert "there are no passwords" in server.log
    connection = server.connect()
    send(connection, raw, LONG)
    wait_for_work(server)
    server.process.terminate()
    server.read_log("No more connections are accepted")
    assert server.process.poll() is None
    server.process.terminate()
    started = time.monotonic()
    assert server.end() == 128 + signal.SIGTERM
    assert time.monotonic() - started < 5
    connection.close()


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--bind", "18000"], 2, "'18000' is no address"),
        (["--bind", "192.0.2.1:18000"], 2, "192.0.2.1:18000 cannot be listened on"),
        (["--set", "steps"], 2, "--set needs a name and a value"),
        (["--set", "steps=x"], 2, "Property 'steps' must be a valid integer"),
        (["--queue", "0", "--bind", "127.0.0.1:0"], 2, "--queue"),
        (["--bind", "127.0.0.1:0", "--model", "none"], 2, "There is no model 'none'"),
        (["--bind", "127.0.0.1:0", "--device", "cuda:63"], 2, "The device 'cuda:63' is not here"),
        (["status", "--address", "127.0.0.1"], 2, "'127.0.0.1' is no address"),
        (["status", "--address", "127.0.0.1:1"], 1, "Nobody answers at 127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(run, options, status, sentence):
    done = run("node", *options)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_a_sentence(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("node", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "is in use" in done.stderr

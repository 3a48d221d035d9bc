"""Damaged streams: every one comes to an end, in good time and with a sentence.

Streams are made of real messages, which are left out, doubled, swapped, cut and flipped bit by bit,
and of bytes that never were any.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
import time
import tracemalloc

import ismrmrd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gadget.stream.server.scan
from gadget.errors import ReconError, StreamError
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.buffers.recon_data import AcquisitionBucket
from gadget.mrd.buffers.recon_data_conversion import to_recon_data
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.nodes.finish import finish
from gadget.nodes.gather import gather
from gadget.nodes.prewhiten import prewhiten
from gadget.nodes.reconstruct import reconstruct
from gadget.stream.client import run_on_server
from gadget.stream.host.pipeline import Execute
from gadget.stream.node import Node
from gadget.stream.server.scan import ScanService
from gadget.stream.wire.codec import decode, encode_bytes
from gadget.stream.wire.connection import Connection
from gadget.stream.wire.messages import Message, MessageId
from gadget.stream.wire.shared_socket import PeerDisconnected

SIZE = 8
SECONDS = 30.0
"""Far more than any of the streams takes, also on a busy machine."""
MEMORY = 2**20
"""What a stream of a few kilobytes may take at most [bytes]."""
HEADER = (
    b'<?xml version="1.0"?>\n<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
    b"<experimentalConditions><H1resonanceFrequency_Hz>128000000</H1resonanceFrequency_Hz>"
    b"</experimentalConditions><encoding><encodedSpace><matrixSize><x>8</x><y>8</y><z>1</z>"
    b"</matrixSize><fieldOfView_mm><x>8</x><y>8</y><z>5</z></fieldOfView_mm></encodedSpace>"
    b"<reconSpace><matrixSize><x>4</x><y>8</y><z>1</z></matrixSize><fieldOfView_mm><x>4</x>"
    b"<y>8</y><z>5</z></fieldOfView_mm></reconSpace><encodingLimits><kspace_encoding_step_1>"
    b"<minimum>0</minimum><maximum>7</maximum><center>4</center></kspace_encoding_step_1>"
    b"</encodingLimits><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
)
FFT = b'<configuration><property name="method" value="fft"/></configuration>'


def readout(line: int, flag: int = 0) -> ismrmrd.Acquisition:
    random = np.random.default_rng(line)
    samples = random.normal(size=(2, SIZE, 2)).astype(np.float32).view(np.complex64)[..., 0]
    head = ismrmrd.AcquisitionHeader()
    head.flags = 1 << (flag - 1) if flag else 0
    head.active_channels = head.available_channels = 2
    head.number_of_samples, head.center_sample = SIZE, SIZE // 2
    head.idx.kspace_encode_step_1 = line
    return ismrmrd.Acquisition(head, samples)


def scan() -> list[ismrmrd.Acquisition]:
    lines = [readout(line) for line in range(SIZE - 1)]
    noise = readout(0, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    calibration = readout(3, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    return [noise, calibration, *lines, readout(SIZE - 1, ismrmrd.ACQ_LAST_IN_SLICE)]


def picture() -> ismrmrd.Image:
    pixels = np.ones((1, 1, SIZE, SIZE), np.complex64)
    image = ismrmrd.Image.from_array(pixels, transpose=False, image_type=ismrmrd.IMTYPE_COMPLEX)
    image.meta = ismrmrd.Meta({"DataRole": "Image"})
    return image


def buffer() -> bytes:
    gatherer = Gatherer(parse_header(HEADER))
    made = [one for item in scan()[2:] for one in gatherer.add(item)]
    return encode_bytes(to_recon_data([*made, *gatherer.finish()][0]))


def image_array() -> bytes:
    shape = struct.pack("<3Q", 2, 2, 1)
    meta = struct.pack("<2Q", 1, 4) + b"meta"
    return struct.pack("<H", 1024) + shape + bytes(16) + shape + bytes(2 * 198) + meta + bytes(2)


def text(number: int, content: bytes) -> bytes:
    return struct.pack("<HI", number, len(content)) + content


def hollow_buffer() -> bytes:
    """A buffer without a sample, whose other axes are longer than any array's."""
    data = struct.pack("<8Q", 7, 0, 2**62, 2**62, 1, 1, 1, 1)
    headers = struct.pack("<6Q", 5, 0, 1, 1, 1, 1)
    return struct.pack("<HQ", 1023, 1) + data + bytes(2) + headers + bytes(57)


CLOSE = struct.pack("<H", 4)
READOUTS = [encode_bytes(one) for one in scan()]
WAVEFORM = encode_bytes(ismrmrd.Waveform.from_array(np.ones((2, 3), np.uint32)))
IMAGE = encode_bytes(picture())
BUCKET = encode_bytes(AcquisitionBucket(scan()[2:], scan()[1:2]))
DATA = [*READOUTS, WAVEFORM, image_array(), hollow_buffer(), IMAGE, BUCKET, buffer()]
NAME = struct.pack("<H1024s", 1, b"score_hybrid.xml")
PIPELINE = text(
    2,
    b"<configuration><version>2</version><stream><external><execute name='gadget.nodes.gather' "
    b"target='gather' type='python'/></external></stream></configuration>",
)
PARAMETERS = text(5, b'{"version": "1.1.0", "parameters": {"steps": "3", "method": "fft"}}')
QUERY = struct.pack("<HQQQ", 6, 0, 1, 15) + b"gadgetron::info"
ERROR = struct.pack("<HQ", 8, 4) + b"oops"
OTHERS = [NAME, PIPELINE, text(3, HEADER), PARAMETERS, QUERY, ERROR, CLOSE]

wholes = st.lists(st.sampled_from([*DATA, *OTHERS]), max_size=12)


@st.composite
def streams(draw: st.DrawFn, start: tuple[bytes, ...] = (), data: list[bytes] = READOUTS) -> bytes:
    """A stream that begins as it should, and is then spoilt."""
    messages = list(start) + draw(st.one_of(st.just([*data, CLOSE]), wholes))
    for _ in range(draw(st.integers(0, 2))):
        position = draw(st.integers(0, len(messages)))
        other = draw(st.one_of(st.sampled_from([*DATA, *OTHERS]), st.binary(max_size=40)))
        keep = draw(st.integers(0, 2))
        messages[position : position + keep] = [other]
    stream = bytearray(b"".join(messages))
    for _ in range(draw(st.integers(0, 4)) if stream else 0):
        stream[draw(st.integers(0, len(stream) - 1))] ^= 1 << draw(st.integers(0, 7))
    end = draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))))
    return bytes(stream[:end])


anything = st.one_of(st.binary(max_size=200), streams())


def examples(count: int):
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch):
    """No log, and no waiting for those who are late."""
    monkeypatch.setattr("gadget.stream.inbox.SILENCE_SECONDS", 0.01)
    monkeypatch.setattr("gadget.stream.wire.connection.SHUTDOWN_SECONDS", 0.01)
    monkeypatch.setattr("gadget.stream.server.scan.LINGER_SECONDS", 0.01)
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def sent(stream: bytes):
    """A connection to an end that sends a stream, and the end's socket."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
    connection = Connection(ours, idle_s=1.0, stall_s=1.0)
    with theirs, contextlib.closing(connection):
        theirs.sendall(stream)
        theirs.shutdown(socket.SHUT_WR)
        yield connection, theirs


def answers(theirs: socket.socket) -> list[Message]:
    """All that was sent, which has to be whole messages and CLOSE at last."""
    theirs.settimeout(SECONDS)
    connection = Connection(theirs, idle_s=SECONDS, stall_s=SECONDS)
    messages = [connection.read()]
    while messages[-1].id is not MessageId.CLOSE:
        messages.append(connection.read())
    return messages


def is_sentence(told: str) -> bool:
    """Whether it is one of this package, and not the remains of a crash."""
    return len(told) > 20 and "traceback" not in told and "error of score-gadget" not in told


@examples(800)
@given(anything)
def test_a_connection_reads_messages_or_says_why_not(stream):
    with sent(stream) as (connection, _):
        tracemalloc.start()
        try:
            while (message := connection.read()).id is not MessageId.CLOSE:
                decode(message)
        except StreamError as error:
            assert is_sentence(str(error))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MEMORY


def run(node: Node, config: bytes, header: bytes, stream: bytes) -> None:
    with sent(stream) as (connection, theirs):
        before = time.monotonic()
        good = node.run(connection, (config, header))
        assert time.monotonic() - before < SECONDS
        told = [one for one in received(theirs) if one.id is MessageId.ERROR]
        for one in told:
            assert is_sentence(bytes(one.payload[8:]).decode())
        assert not (good and told)


def received(theirs: socket.socket) -> list[Message]:
    """What a node has sent; an end that is gone is told nothing."""
    messages = []
    with contextlib.suppress(PeerDisconnected):
        messages = answers(theirs)
    return messages


@pytest.mark.parametrize(
    ("node", "data"),
    [
        (prewhiten, READOUTS),
        (gather, READOUTS),
        (reconstruct, DATA[-2:]),
        (reconstruct, READOUTS),
        (finish, [IMAGE, IMAGE]),
    ],
    ids=["prewhiten", "gather", "reconstruct buffers", "reconstruct", "finish"],
)
def test_nodes_end_every_stream_with_images_or_a_sentence(node, data):
    config = FFT if node is reconstruct else b""

    @examples(200)
    @given(streams(data=data))
    def check(stream):
        run(node, config, HEADER, stream)

    check()


@examples(200)
@given(st.data())
def test_nodes_end_every_setup_with_images_or_a_sentence(data):
    def spoilt(content: bytes) -> bytes:
        at = data.draw(st.integers(0, len(content)))
        other = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([b"9", b"<x/>", b"-"])))
        return content[:at] + other + content[at + data.draw(st.integers(0, 2)) :]

    run(reconstruct, spoilt(FFT), spoilt(HEADER), b"".join([*READOUTS, CLOSE]))


@examples(500)
@given(
    st.one_of(
        anything,
        streams(start=(NAME, text(3, HEADER), PARAMETERS)),
        streams(start=(PIPELINE, text(3, HEADER))),
    )
)
def test_the_server_answers_every_stream(stream):
    def host(pipeline, header, messages, on_image):
        parse_header(header)
        for message in messages:
            assert message[:2] != CLOSE
            on_image(picture())

    original = gadget.stream.server.scan.run_pipeline
    gadget.stream.server.scan.run_pipeline = host
    try:
        with sent(stream) as (connection, theirs):
            before = time.monotonic()
            nodes = [Execute("gadget.nodes.gather", "gather", b"")]
            ScanService(connection, nodes, contextlib.nullcontext).run()
            assert time.monotonic() - before < SECONDS
            for message in received(theirs):
                assert message.id in (
                    MessageId.IMAGE,
                    MessageId.TEXT,
                    MessageId.RESPONSE,
                    MessageId.CLOSE,
                )
                if message.id is MessageId.TEXT and message.payload[4:9] == b"ERROR":
                    assert is_sentence(bytes(message.payload[13:]).decode())
    finally:
        gadget.stream.server.scan.run_pipeline = original


@examples(200)
@given(streams(data=[IMAGE, text(5, b"INFO     a line"), IMAGE]))
def test_the_client_takes_every_answer(stream):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(stream)
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(SECONDS)
                while sock.recv(2**16):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            run_on_server(address, "a", HEADER, READOUTS, lambda image: None, idle_s=1.0)
        except ReconError as error:
            assert isinstance(error, StreamError)
            assert is_sentence(str(error))
        finally:
            thread.join(SECONDS)
            assert not thread.is_alive()

"""What a client says before its data."""

from __future__ import annotations

import json
import struct

import pytest

import gadget
from gadget.errors import ConfigError, StreamError
from gadget.stream.server.setup import parse_parameters, read_setup
from gadget.stream.wire.codec import encode_bytes
from gadget.stream.wire.connection import IDLE_SECONDS
from gadget.stream.wire.messages import MessageId
from gadget.stream.wire.shared_socket import PeerDisconnected

CLOSE = struct.pack("<H", 4)


def text(number: int, content: bytes) -> bytes:
    return struct.pack("<HI", number, len(content)) + content


def name(content: bytes) -> bytes:
    return struct.pack("<H1024s", 1, content)


@pytest.fixture
def read(pair):
    """Reads the setup that these bytes hold, sent by a client that leaves then."""
    connection, theirs = pair

    def call(*parts: bytes):
        theirs.sendall(b"".join(parts))
        theirs.shutdown(1)
        return read_setup(connection)

    return call


@pytest.fixture
def readout(acquisition):
    return encode_bytes(acquisition(5))


def test_a_pipeline_by_name_as_gadgetrons_client_sends_it(read, pair, header, readout):
    setup = read(name(b"score_hybrid.xml"), text(3, header), readout)
    assert (setup.config, setup.header, setup.parameters) == ("score_hybrid.xml", header, "")
    assert (setup.first.id, bytes(setup.first.payload)) == (MessageId.ACQUISITION, readout[2:])
    assert pair[0].idle_s == IDLE_SECONDS


def test_a_pipeline_as_text_and_parameters_as_fire_sends_them(read, header, readout, waveform):
    first = encode_bytes(waveform())
    setup = read(text(2, b" <a/>\0"), text(3, header + b"\0"), text(5, b'{"a": 1}\0'), first)
    assert (setup.config, setup.parameters) == ("<a/>", '{"a": 1}')
    assert setup.first.id is MessageId.WAVEFORM


def test_questions_and_remarks_come_in_between(read, pair, header, readout, caplog):
    caplog.set_level("INFO", "gadget")
    query = struct.pack("<HQQQ", 6, 0, 77, 15) + b"gadgetron::info"
    other = struct.pack("<HQQQ", 6, 0, 78, 2) + b"??"
    setup = read(query, name(b"a"), text(5, b"hello\0"), other, text(3, header), readout)
    assert setup.config == "a"
    assert "hello" in caplog.text
    answers = pair[1].recv(1000)
    version = f"score-gadget {gadget.__version__}".encode()
    assert answers == (
        struct.pack("<HQQ", 7, 77, len(version))
        + version
        + struct.pack("<HQQ", 7, 78, 13)
        + b"Unknown query"
    )


@pytest.mark.parametrize("parts", [(CLOSE,), (name(b"a"), CLOSE)])
def test_a_client_that_closes_before_the_header_wants_nothing(read, parts):
    assert read(*parts) is None


@pytest.mark.parametrize("length", [0, 1, 700, 1026, 1040])
def test_a_client_that_leaves(read, header, length):
    with pytest.raises(PeerDisconnected, match="gone"):
        read((name(b"a") + text(3, header))[:length])


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((text(3, b"<a/>"),), r"HEADER \(3\) came where FILENAME \(1\) or CONFIG \(2\) was"),
        ((name(b"a"), name(b"a")), r"FILENAME \(1\) came where HEADER \(3\) was"),
        ((name(b"a"), text(3, b"<a/>"), text(3, b"<a/>")), r"HEADER \(3\) came where the data"),
        ((name(b"a"), text(3, b"<a/>"), CLOSE), "there are no data"),
        ((b"GET / HTTP/1.1\r\n\r\n",), "unknown number 17735"),
        ((struct.pack("<HI", 2, 2**32 - 1),), "4294967295 bytes is announced"),
    ],
)
def test_other_orders_are_errors(read, parts, sentence):
    with pytest.raises(StreamError, match=sentence):
        read(*parts)


def test_parameters_are_written_as_in_a_pipeline():
    values = {"a": "True ", "b": True, "c": 3, "d": 0.5, "e": "", "f": False}
    assert parse_parameters(json.dumps({"version": "1.1.0", "parameters": values})) == {
        "a": "True",
        "b": "true",
        "c": "3",
        "d": "0.5",
        "e": "",
        "f": "false",
    }
    assert parse_parameters("") == parse_parameters('{"version": "1.1.0"}') == {}


@pytest.mark.parametrize(
    "content",
    [
        "steps=3",
        "[1]",
        '{"parameters": [1]}',
        "[" * 100_000,
        '{"parameters": {"a": "' + "b" * 2**20 + '"}}',
    ],
    ids=["no json", "a list", "parameters in a list", "very deep", "very long"],
)
def test_any_other_text_is_told_what_is_expected(content):
    with pytest.raises(ConfigError, match=r'JSON such as \{"parameters"'):
        parse_parameters(content)


def test_null_is_a_parameter_that_was_not_set():
    assert parse_parameters('{"parameters": {"customconfig": null, "seed": 3}}') == {"seed": "3"}


def test_lists_and_objects_keep_their_text_and_no_parameters_are_none():
    values = {"a": [1, "b"], "c": {"d": None}}
    assert parse_parameters(json.dumps({"parameters": values})) == {
        "a": '[1, "b"]',
        "c": '{"d": null}',
    }
    assert parse_parameters('{"parameters": null}') == {}


FIRST, SECOND = b'{"parameters": {"seed": 1}}', b'{"parameters": {"seed": 2}}'


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [([b"hello", FIRST], [], FIRST), ([FIRST], [SECOND, b"hello"], SECOND), ([b"hello"], [], b"")],
)
def test_parameters_may_come_before_the_header_and_remarks_anywhere(
    read, header, readout, before, after, expected
):
    texts = [[text(5, one) for one in part] for part in (before, after)]
    setup = read(name(b"a"), *texts[0], text(3, header), *texts[1], readout)
    assert setup.parameters == expected.decode()
    assert setup.first.id is MessageId.ACQUISITION

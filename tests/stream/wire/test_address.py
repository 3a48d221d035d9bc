"""Addresses are read as people write them, and what is wrong with one is a sentence."""

from __future__ import annotations

import re
import socket
import threading
import time

import pytest

from gadget.errors import ConfigError, StreamError
from gadget.stream.wire.address import Address, connect, listen, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:18000", "127.0.0.1", 18000),
        ("localhost:1", "localhost", 1),
        ("[::1]:18000", "::1", 18000),
        ("gpu-server.example.org:65535", "gpu-server.example.org", 65535),
    ],
)
def test_an_address_reads_as_it_is_written(text, host, port):
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "18000", ":18000", "localhost", "localhost:", "localhost:http", "localhost:65536"),
        *("localhost:-1", "::1:18000", "[::1]", "[::1:18000", "a:1/b", "a:1?b", "me@host:1"),
    ],
)
def test_anything_else_is_no_address(text):
    with pytest.raises(ConfigError, match="is no address: expected host:port"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.7", False), ("scanner", False)),  # noqa: S104
    ],
)
def test_loopback_is_known(host, expected):
    assert Address(host, 1).is_loopback is expected


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_listening_and_connecting_meet(host):
    try:
        listener = listen(Address(host, 0))
    except ConfigError:
        assert host == "::1"
        pytest.skip("this machine has no IPv6")
    with listener:
        port = listener.getsockname()[1]
        with connect(Address(host, port), 0) as sock:
            assert sock.getpeername()[1] == port


def test_a_name_of_both_kinds_is_listened_on_where_gadgetron_connects():
    with listen(Address("localhost", 0)) as listener:
        assert listener.family is socket.AF_INET


def test_a_taken_port_is_a_sentence():
    with listen(Address("127.0.0.1", 0)) as listener:
        taken = Address("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(StreamError, match=f"{taken} is in use"):
            listen(taken)


def test_an_address_of_another_machine_is_a_sentence():
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:18000 cannot be listened on \([^()]*\): "):
        listen(Address("192.0.2.1", 18000))


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", ".x", "x" * 64])
@pytest.mark.parametrize("function", [listen, lambda address: connect(address, 0)])
def test_an_unknown_host_is_a_sentence(function, host):
    sentence = f"host of {re.escape(host)}:1 is not known"
    with pytest.raises((ConfigError, StreamError), match=sentence):
        function(Address(host, 1))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_server_that_starts_late_is_reached(caplog):
    caplog.set_level("INFO")
    address = Address("127.0.0.1", free_port())
    servers = []
    timer = threading.Timer(0.3, lambda: servers.append(listen(address)))
    timer.start()
    connect(address, 10).close()
    timer.join()
    servers[0].close()
    assert caplog.messages == [f"Nobody answers at {address} yet: trying for up to 10 s."]


def test_a_server_that_never_starts_is_waited_for_as_long_as_told():
    started = time.monotonic()
    with pytest.raises(StreamError, match="Nobody answers at 127"):
        connect(Address("127.0.0.1", free_port()), 0.6)
    assert 0.3 < time.monotonic() - started < 5

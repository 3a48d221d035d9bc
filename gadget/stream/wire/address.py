"""Addresses `host:port` of servers: parse, listen, connect."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from gadget.errors import ConfigError, StreamError, reason

RETRY_SECONDS = 0.25
ATTEMPT_SECONDS = 5.0
BACKLOG = 128

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """Read `host:port` or `[ipv6]:port`.

    Raises
    ------
    ConfigError
        It is anything else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.netloc != text or "@" in text:
        raise ConfigError(
            f"'{text}' is no address: expected host:port, for example 127.0.0.1:18000 or "
            "[::1]:18000, with a port from 0 to 65535."
        )
    return Address(host, port)


def listen(address: Address) -> socket.socket:
    """Return a socket that listens on an address; port 0 is any free one.

    Raises
    ------
    ConfigError
        This machine does not have the address.
    StreamError
        The address is taken.
    """
    family = _family(address)
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StreamError(
                f"{address} is in use: another server listens there. Stop it, or choose another "
                "port."
            ) from error
        raise ConfigError(
            f"{address} cannot be listened on ({reason(error)}): choose an address of this machine "
            "and a port that you may use, for example 127.0.0.1:18000."
        ) from error


def connect(address: Address, timeout_s: float) -> socket.socket:
    """Return a socket connected to an address; retry while nobody listens there.

    Raises
    ------
    StreamError
        Nobody does within the time [s].
    """
    deadline = time.monotonic() + timeout_s
    told = False
    while True:
        try:
            return socket.create_connection((address.host, address.port), ATTEMPT_SECONDS)
        except (socket.gaierror, UnicodeError) as error:
            raise StreamError(f"The host of {address} is not known ({_why(error)}).") from error
        except OSError as error:
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise StreamError(
                    f"Nobody answers at {address} ({error.strerror or error})."
                ) from error
            if not told:
                log.info("Nobody answers at %s yet: trying for up to %.0f s.", address, timeout_s)
            told = True
            time.sleep(RETRY_SECONDS)


def _family(address: Address) -> socket.AddressFamily:
    """Return IPv4 for a name that stands for both: Gadgetron connects to the first it finds."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(f"The host of {address} is not known ({_why(error)}).") from error
    families = [entry[0] for entry in found]
    return socket.AF_INET if socket.AF_INET in families else families[0]


def _why(error: socket.gaierror | UnicodeError) -> str:
    # Names with empty or overlong labels fail before anybody is asked for them.
    return str(error.strerror) if isinstance(error, OSError) else "it is no name of a host"

"""A node of a pipeline as a process, started the way Gadgetron 4.7 starts it."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from gadget.errors import StreamError
from gadget.stream.host import launch
from gadget.stream.host.pipeline import Execute
from gadget.stream.progress import WANTED, Progress, parse_progress
from gadget.stream.wire.connection import Connection

CONNECT_SECONDS = 120.0
EXIT_SECONDS = 30.0
TERMINATE_SECONDS = 2.0
KEPT_LINES = 12
MAX_LINE_BYTES = 2**16

_LEVELS = {logging.getLevelName(level): level for level in range(10, 60, 10)}
_LOG_LINE = re.compile(r"\d\d-\d\d [\d:.]+ ([A-Z]+) \[ext\. [^\]]*\] (.*)")


class NodeProcess:
    """One node: `python -m gadgetron PORT MODULE TARGET` and the connection to it.

    Nodes of this package are started in the same way, but without gadgetron-python.

    Parameters
    ----------
    execute
        What to start.
    on_progress
        Called from another thread with what the node tells of its progress.
    """

    def __init__(self, execute: Execute, on_progress: Callable[[Progress], None]) -> None:
        self.name = execute.target
        self.execute = execute
        self._on_progress = on_progress
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._level = logging.INFO
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._started = time.monotonic()
        self._process = self._start(self._listener.getsockname()[1])
        # A log is told by the name of a thread which scan a line is about.
        scan = threading.current_thread().name
        self._log_thread = threading.Thread(target=self._read_log, name=scan, daemon=True)
        self._log_thread.start()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        arguments = str(port), self.execute.module, self.execute.target
        environment = {
            "GADGETRON_EXTERNAL_LOG_LEVEL": "INFO",
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            WANTED: "1",
        }
        return subprocess.Popen(
            launch.module_command("gadget.stream.start_node", *arguments)
            if self.execute.own
            else launch.command("-m", "gadgetron", *arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the host, which ends its nodes in order.
            start_new_session=True,
        )

    def connect(self) -> Connection:
        """Wait for the node and return the connection to it.

        Raises
        ------
        StreamError
            It does not come; with its last words.
        """
        with self._listener:
            while time.monotonic() < self._started + CONNECT_SECONDS:
                with suppress(TimeoutError):
                    return Connection(self._listener.accept()[0])
                if self._process.poll() is not None:
                    raise StreamError(
                        f"The node {self.name} {self.ending()} before it connected.{self.words()}"
                    )
        raise StreamError(
            f"The node {self.name} did not connect within {CONNECT_SECONDS:g} s.{self.words()}"
        )

    def wait(self, seconds: float = EXIT_SECONDS) -> int | None:
        """Return the exit status of the node once it has ended, None if it goes on."""
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(seconds)
            # A process that the node left behind may keep its log open.
            self._log_thread.join(1.0)
            return status
        return None

    def ending(self) -> str:
        """Say in words how the process has ended."""
        status = self._process.poll()
        return "went silent" if status is None else launch.ending(status)

    def words(self) -> str:
        """Return the last lines of the node's log, to append to a sentence."""
        self._log_thread.join(1.0 if self._process.poll() is not None else 0.0)
        lines = [line for line in self._lines if line.strip()]
        return " Its last words:\n  " + "\n  ".join(lines) if lines else ""

    def stop(self) -> None:
        """End the process and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                self.wait(TERMINATE_SECONDS)
        self._listener.close()

    def _read_log(self) -> None:
        stream: IO[bytes] | None = self._process.stdout
        if stream is None:
            return
        with stream:
            while line := stream.readline(MAX_LINE_BYTES):
                self._take_line(line.decode("utf-8", "replace").rstrip())

    def _take_line(self, line: str) -> None:
        progress = parse_progress(line)
        if progress is not None:
            self._on_progress(progress)
            return
        match = _LOG_LINE.fullmatch(line)
        if match:
            self._level = _LEVELS.get(match[1], logging.INFO)
            line = match[2]
        elif line.startswith("Traceback"):
            self._level = logging.ERROR
        self._lines.append(line)
        logging.getLogger(f"gadget.node.{self.name}").log(self._level, "%s", line)

"""`score-gadget serve`, as a scanner meets it."""

from __future__ import annotations

import json
import signal
import socket
import struct

import numpy as np

from gadget.mrd.raw.raw_file import RawFile
from gadget.stream.client import run_on_server


def test_serves_a_scan_and_ends_in_order(start, raw, caplog):
    caplog.set_level("INFO", "gadget.stream.client")
    server = start("serve", "--port", "0")
    ready = next(line for line in server.stderr if "Ready at" in line)
    address = ready.split()[-1].rstrip(".")
    parameters = json.dumps({"parameters": {"method": "fft", "output": "uint16"}}).encode()
    images = []
    with RawFile(raw) as file:

        def messages():
            yield struct.pack("<HI", 5, len(parameters)) + parameters
            yield from file.messages()
            server.send_signal(signal.SIGTERM)

        run_on_server(address, "openrecon", file.header_xml, messages(), images.append)
    log = server.stderr.read()
    assert server.wait(20) == 0
    assert "The pipeline 'openrecon' is not one of this server's" in log
    assert "All clients are served" in log
    assert any("method fft" in text for text in caplog.messages)
    assert [image.slice for image in images] == [0, 1]
    assert {image.data.dtype for image in images} == {np.dtype(np.uint16)}


def test_arguments_that_cannot_be_served(run):
    unknown = run("serve", "-c", "absent.xml")
    assert (unknown.returncode, "no pipeline file absent.xml" in unknown.stderr) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("serve", "--port", port)
    assert (refused.returncode, f"127.0.0.1:{port} is in use" in refused.stderr) == (1, True)

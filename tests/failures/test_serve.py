"""Accidents to the clients of a server, caused in real processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from waiting import wait_until

from gadget.mrd.raw.raw_file import RawFile
from gadget.stream.client import run_on_server

CLIENT = """
    import sys, time
    from gadget.mrd.raw.raw_file import RawFile
    from gadget.stream.client import run_on_server

    with RawFile(sys.argv[2]) as raw:
        def messages():
            yield from raw.messages()
            time.sleep(600)
        run_on_server(sys.argv[1], "", raw.header_xml, messages(), lambda image: None)
"""


def test_a_client_killed_in_the_middle_of_its_scan(start, raw, pipeline, tmp_path):
    server = start("serve", "--port", "0", "-c", pipeline("stalls"))
    address = next(line for line in server.stderr if "Ready at" in line).split()[-1].rstrip(".")
    words = [sys.executable, "-c", textwrap.dedent(CLIENT), address, str(raw)]
    client = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text() != "")
    node = Path("/proc") / pid.read_text()
    client.kill()
    client.wait()
    wait_until(lambda: not node.exists())
    images = []
    with RawFile(raw) as file:
        run_on_server(address, "", file.header_xml, file.messages(), images.append)
    assert [image.slice for image in images] == [0, 1, 2]
    server.terminate()
    log = server.communicate(timeout=30)[1]
    assert "The client left in the middle of its scan" in log
    assert "The scan is finished: 3 images." in log
    assert server.returncode == 0

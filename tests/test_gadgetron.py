"""The pipelines in a real Gadgetron, with its own client, beside the embedded host.

Needs `gadgetron` and `gadgetron_ismrmrd_client` on the PATH, and a storage server: Gadgetron's own,
or the stand-in that comes with the test data.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from command import COMMAND

from gadget.mrd.images.reader import read_images
from gadget.mrd.raw.raw_file import RawFile
from gadget.mrd.readouts import flags
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan
from gadget.stream.progress import WANTED

pytestmark = pytest.mark.gadgetron

ROOT = Path(__file__).resolve().parent.parent
PIPELINES = ROOT / "pipelines"
SCAN = SimulatedScan(matrix=64, coils=6, slices=3, acceleration=2)
START_SECONDS = 60.0
CONNECT_MS = 2000
CONNECT_TRIES = 10
MISSED_CONNECTION = "write: Bad file descriptor"
"""What the client says when it was connected before it began to wait for that: it closes its own
socket when the time is over, and has sent nothing yet."""
GEOMETRY = (
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "patient_table_position",
    "field_of_view",
    "matrix_size",
    "slice",
    "repetition",
    "acquisition_time_stamp",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server did not start")


class Server:
    """A Gadgetron server and its client."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.port = port
        self.process = process
        self.folder = folder

    def reconstruct(self, raw: Path, pipeline: Path) -> tuple[list, str]:
        """Return the images that the client gets, and what it prints."""
        for _ in range(CONNECT_TRIES):
            output = self.folder / f"{time.monotonic_ns()}.h5"
            command = ["gadgetron_ismrmrd_client", "-a", "127.0.0.1", "-p", self.port, "-f", raw]
            command += ["-C", pipeline, "-o", output, "-G", "dataset", "-t", CONNECT_MS]
            done = subprocess.run(
                [str(word) for word in command], capture_output=True, text=True, timeout=300
            )
            words = done.stdout + done.stderr
            if MISSED_CONNECTION not in words:
                break
        return read_images(output) if output.exists() else [], words

    def wait_for(self, text: str) -> None:
        """Return when the server, or a node that it has started, has written a text."""
        deadline = time.monotonic() + START_SECONDS
        while text not in (self.folder / "log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def node(self, module: str) -> int:
        """Return the process of a node that this server has started."""
        (found,) = [
            process
            for scan in children(self.process.pid)
            for process in children(scan)
            if module.encode() in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        ]
        return found


def children(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for one in threads for child in (one / "children").read_text().split()]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not (shutil.which("gadgetron") and shutil.which("gadgetron_ismrmrd_client")):
        pytest.skip("Gadgetron and its client are not on the PATH")
    folder = tmp_path_factory.mktemp("gadgetron")
    port, storage_port = free_port(), free_port()
    command = ["gadgetron", "-p", str(port), "-W", str(folder)]
    started = []
    if not shutil.which("mrd-storage-server"):
        stub = Path(os.environ.get("SCORE_GADGET_TEST_DATA", "")) / "tools" / "storage_stub.py"
        if not stub.is_file():
            pytest.skip("there is no storage server for Gadgetron")
        started.append(subprocess.Popen([sys.executable, str(stub), str(storage_port)]))
        wait_for(storage_port, started[0])
        command += ["-E", f"http://127.0.0.1:{storage_port}"]
    environment = {
        **os.environ,
        # Gadgetron starts the first `python` of the PATH.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        WANTED: "1",  # its log tells when a node is sampling
    }
    with (folder / "log").open("wb") as log:
        started.append(
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        )
    wait_for(port, started[-1])
    yield Server(port, started[-1], folder)
    for process in started:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    write_simulation(path, SCAN)
    return path


@pytest.fixture
def pipeline(tmp_path):
    """Writes a pipeline of this package with another method."""

    def write(name: str, method: str = "fft") -> Path:
        path = tmp_path / name
        text = (PIPELINES / name).read_text()
        path.write_text(
            text.replace('name="method" value="fast"', f'name="method" value="{method}"')
        )
        return path

    return write


@pytest.fixture(scope="module")
def resident():
    """Port of a resident server."""
    port = free_port()
    command = [*COMMAND, "node", "--bind", f"127.0.0.1:{port}", "--device", "cpu"]
    process = subprocess.Popen([str(word) for word in command])
    wait_for(port, process)
    yield port
    process.terminate()
    process.wait()


@pytest.fixture
def replayed(pipeline, tmp_path):
    """Reconstructs a file in the embedded host."""

    def run(raw: Path) -> list:
        output = tmp_path / "embedded.h5"
        command = [*COMMAND, "replay", raw, "-o", output, "-c", pipeline("score_hybrid.xml")]
        subprocess.run([str(word) for word in command], check=True)
        return read_images(output)

    return run


@pytest.fixture
def embedded(raw, replayed):
    """The images of the embedded host."""
    return replayed(raw)


def by_slice(images) -> list:
    return sorted(images, key=lambda image: image.slice)


def assert_same_place(one, other) -> None:
    for name in GEOMETRY:
        ours, theirs = getattr(one.getHead(), name), getattr(other.getHead(), name)
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-6, err_msg=name)


def likeness(one, other) -> float:
    """Correlation of two images, which need not have the same scale."""
    a, b = (np.abs(image.data).astype(float).ravel() for image in (one, other))
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_our_nodes_give_what_they_give_in_the_embedded_host(server, raw, pipeline, embedded):
    images, _ = server.reconstruct(raw, pipeline("score_hybrid.xml"))
    assert len(images) == SCAN.slices
    for one, other in zip(by_slice(images), by_slice(embedded), strict=True):
        assert_same_place(one, other)
        np.testing.assert_array_equal(one.data, other.data)
        assert one.meta["ScoreGadget_method"] == "fft"


def test_a_resident_server_gives_the_same(server, raw, pipeline, resident, embedded):
    remote = pipeline("score_hybrid_remote.xml")
    remote.write_text(remote.read_text().replace('port="18000"', f'port="{resident}"'))
    images, _ = server.reconstruct(raw, remote)
    assert len(images) == SCAN.slices
    for one, other in zip(by_slice(images), by_slice(embedded), strict=True):
        assert_same_place(one, other)
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("name", ["score_hybrid_cpp.xml", "score_hybrid_buffers.xml"])
def test_behind_gadgets_in_cpp_too(server, raw, pipeline, embedded, name):
    images, _ = server.reconstruct(raw, pipeline(name))
    assert len(images) == SCAN.slices
    for one, other in zip(by_slice(images), by_slice(embedded), strict=True):
        assert one.data.dtype == np.uint16
        assert_same_place(one, other)
        assert likeness(one, other) > 0.9999
        assert one.meta["ScoreGadget_method"] == "fft"


@pytest.fixture
def to_and_fro(tmp_path):
    """A scan of an odd matrix, every other line of which is measured backwards."""
    straight, path = tmp_path / "straight.h5", tmp_path / "to_and_fro.h5"
    write_simulation(straight, replace(SCAN, matrix=65))
    dataset = ismrmrd.Dataset(str(path), "dataset", True)
    with RawFile(straight) as source:
        dataset.write_xml_header(source.header_xml)
        for one in source.acquisitions():
            head, samples = one.getHead(), one.data
            if head.idx.kspace_encode_step_1 % 2:
                head.flags |= flags.REVERSE
                samples = samples[:, ::-1]
            dataset.append_acquisition(ismrmrd.Acquisition(head, np.ascontiguousarray(samples)))
    dataset.close()
    return path


@pytest.mark.parametrize("name", ["score_hybrid_cpp.xml", "score_hybrid_buffers.xml"])
def test_odd_sizes_and_reversed_lines_behind_gadgets_in_cpp(
    server, to_and_fro, pipeline, replayed, name
):
    images, _ = server.reconstruct(to_and_fro, pipeline(name))
    for one, other in zip(by_slice(images), by_slice(replayed(to_and_fro)), strict=True):
        assert_same_place(one, other)
        assert likeness(one, other) > 0.9999


def test_a_node_that_is_killed_is_told_to_the_client(server, raw, pipeline):
    with ThreadPoolExecutor() as pool:
        going = pool.submit(server.reconstruct, raw, pipeline("score_hybrid.xml", "paper"))
        server.wait_for('"node": "reconstruct", "text": "sampling"')
        os.kill(server.node("gadget.nodes.reconstruct"), signal.SIGKILL)
        images, words = going.result()
    assert len(images) < SCAN.slices
    assert "ERROR: Received illegal message id from external peer" in words

"""Tasks on a cluster: a local one, of two worker processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import h5py
import pytest
from waiting import wait_until

from gadget.cohort.cluster import run_on_cluster
from gadget.cohort.events import Outcome, Started, Status
from gadget.errors import ConfigError
from gadget.mrd.images.reader import read_images

distributed = pytest.importorskip(
    "distributed", reason="dask.distributed (pip install 'score-gadget[dask]') is not installed"
)


@pytest.fixture
def cluster(recipe, tmp_path, monkeypatch):
    """A cluster whose workers can import the nodes of the tests and are at home in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        yield made


def kill_who_works(address: str) -> None:
    with distributed.Client(address, set_as_default=False) as client:
        wait_until(lambda: sum(map(len, client.processing().values())) == 1)
        (worker,) = [worker for worker, keys in client.processing().items() if keys]
        os.kill(client.run(os.getpid, workers=[worker])[worker], signal.SIGKILL)


def test_work_moves_on_when_a_worker_dies_and_stops_when_it_is_given_up(
    cluster, plan, recipe, data
):
    sticks, address = recipe("sticks_once"), cluster.scheduler_address
    folder = data("a.h5", "cut.h5")
    (folder / "cut.h5").write_bytes(b"cut")
    tasks = plan(sticks, folder).tasks

    Path("stick").touch()
    with closing(run_on_cluster(address, tasks[:1], sticks)) as events:
        next(events)
        wait_until(Path("stuck").exists)
        (working,) = Path("out").iterdir()
    wait_until(lambda: not working.exists())

    Path("stuck").rename("stick")
    with ThreadPoolExecutor() as pool:
        run = pool.submit(lambda: list(run_on_cluster(address, tasks, sticks)))
        wait_until(Path("stuck").exists)
        kill_who_works(address)
        events = run.result(90)
    first = [event for task, event in events if task.name == "a"]
    assert sum(isinstance(event, Started) for event in first) == 2
    assert any(isinstance(event, Status) for event in first)
    assert first[-1].summary == "2 images"
    assert len(read_images(tasks[0].output)) == 2
    with h5py.File(tasks[0].output) as file:
        assert b"ismrmrdHeader" in file["dataset/xml"][0]
    (cut,) = [event for task, event in events if task.name == "cut" and isinstance(event, Outcome)]
    assert "not a readable HDF5 file" in cut.summary
    assert f"(on {os.uname().nodename})" in cut.summary


def test_nobody_at_the_address(recipe, monkeypatch):
    monkeypatch.setattr("gadget.cohort.cluster.ANSWER_SECONDS", 0.2)
    for address in ("tcp://127.0.0.1:1", "carrier pigeon"):
        with pytest.raises(ConfigError, match=f"No scheduler of dask answers at '{address}'"):
            list(run_on_cluster(address, [], recipe()))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_of_another_kind_is_not_waited_for(recipe, monkeypatch, answer):
    monkeypatch.setattr("gadget.cohort.cluster.ANSWER_SECONDS", 0.5)

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.sendall(answer)
            while connection.recv(4096):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        pool.submit(serve, listener)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ConfigError, match="No scheduler of dask answers"):
            list(run_on_cluster(address, [], recipe()))


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:99999"])
def test_what_is_no_address_is_told_at_once_and_without_a_traceback(address):
    script = textwrap.dedent("""
        import sys
        from gadget.cohort.cluster import run_on_cluster
        from gadget.errors import ConfigError

        try:
            next(run_on_cluster(sys.argv[1], [], None))
        except ConfigError as error:
            kept = error  # until Python ends, when dask's event loop is gone
    """)
    started = time.monotonic()
    command = [sys.executable, "-c", script, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert time.monotonic() - started < 8

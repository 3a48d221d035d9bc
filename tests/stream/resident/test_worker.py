"""Jobs of many owners take turns, and a job that fails is its owner's affair alone."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError

import pytest
from waiting import wait_until

from gadget.stream.resident.worker import FairWorker


@pytest.fixture
def gate():
    """Holds the worker up until it is opened."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def worker(gate):
    """A worker that is busy until the gate opens."""
    worker = FairWorker("idle worker")
    begun = threading.Event()
    worker.submit("gate", lambda: (begun.set(), gate.wait(10)))
    begun.wait(10)
    yield worker
    gate.set()
    worker.close()


def test_owners_take_turns_whoever_came_first(worker, gate):
    done: list[str] = []
    for name in ("long 1", "long 2", "long 3"):
        worker.submit("long", lambda name=name: done.append(name))
    worker.submit("short", lambda: done.append("short"))
    last = worker.submit("late", lambda: done.append("late"))
    assert worker.waiting == 5
    gate.set()
    last.result(10)
    worker.close()
    assert done == ["long 1", "short", "late", "long 2", "long 3"]


def test_results_and_errors_come_back(worker, gate):
    good = worker.submit("one", lambda: 3)
    bad = worker.submit("two", lambda: 1 / 0)
    worse = worker.submit("two", exit)
    after = worker.submit("two", lambda: 4)
    gate.set()
    assert (good.result(10), after.result(10)) == (3, 4)
    with pytest.raises(ZeroDivisionError):
        bad.result(10)
    with pytest.raises(SystemExit):
        worse.result(10)


def test_what_an_owner_has_queued_can_be_dropped(worker, gate):
    done: list[str] = []
    dropped = [worker.submit("gone", lambda: done.append("gone")) for _ in range(3)]
    kept = worker.submit("here", lambda: done.append("here"))
    worker.drop("gone")
    worker.drop("unknown")
    assert worker.waiting == 1
    for future in dropped:
        with pytest.raises(CancelledError):
            future.result(1)
    gate.set()
    kept.result(10)
    assert done == ["here"]


def test_a_job_runs_under_the_name_of_the_thread_that_wants_it(worker, gate):
    names: list[str] = []

    def submit():
        worker.submit("owner", lambda: names.append(threading.current_thread().name)).result(10)

    thread = threading.Thread(target=submit, name="scan 7")
    thread.start()
    gate.set()
    thread.join(10)
    assert names == ["scan 7"]


def test_closing_finishes_what_waits(worker, gate):
    futures = [worker.submit("owner", lambda: 1) for _ in range(3)]
    gate.set()
    worker.close()
    assert all(future.done() for future in futures)
    assert "idle worker" not in {thread.name for thread in threading.enumerate()}


class Buffer:
    def size(self) -> int:
        return 1


def test_an_idle_worker_holds_no_data(worker, gate):
    buffer = Buffer()
    seen = weakref.ref(buffer)
    gate.set()
    assert worker.submit("owner", buffer.size).result(10) == 1
    assert worker.submit("owner", lambda: 2).result(10) == 2  # the first one is over and done with
    del buffer
    assert seen() is None


def test_what_a_failed_job_held_is_freed_at_once(worker, gate):
    """Not by a garbage collection: that may be a long time and many arrays away."""

    class Array:
        pass

    def fail(array):
        raise ValueError(len(str(array)))

    array = Array()
    alive = weakref.ref(array)
    failed = worker.submit("owner", lambda array=array: fail(array))
    del array
    gc.disable()
    try:
        gate.set()
        with pytest.raises(ValueError, match=r"\d+"):
            failed.result(10)
        del failed
        wait_until(lambda: alive() is None)
    finally:
        gc.enable()

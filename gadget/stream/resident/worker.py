"""A worker thread that serves many connections in turn."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class _Job(NamedTuple):
    future: Future[Any]
    function: Callable[[], Any]
    thread_name: str


class FairWorker:
    """Runs jobs one at a time, round robin between their owners.

    Parameters
    ----------
    name
        Name of its thread while it has nothing to do.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._queues: OrderedDict[Hashable, deque[_Job]] = OrderedDict()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of queued jobs."""
        with self._changed:
            return sum(map(len, self._queues.values()))

    def submit(self, owner: Hashable, function: Callable[[], Result]) -> Future[Result]:
        """Queue a job; its log lines bear the name of the submitting thread."""
        future: Future[Result] = Future()
        with self._changed:
            job = _Job(future, function, threading.current_thread().name)
            self._queues.setdefault(owner, deque()).append(job)
            self._changed.notify()
        return future

    def drop(self, owner: Hashable) -> None:
        """Cancel the queued jobs of an owner."""
        with self._changed:
            dropped = self._queues.pop(owner, ())
        for job in dropped:
            job.future.cancel()

    def close(self) -> None:
        """End the thread when the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._thread.name = job.thread_name
            _do(job)
            self._thread.name = self._name
            del job  # its data must not stay in memory while nothing is to be done

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queues or self._closed)
            if not self._queues:
                return None
            owner, jobs = self._queues.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._queues[owner] = jobs
            return job


def _do(job: _Job) -> None:
    future, function = job.future, job.function
    future.set_running_or_notify_cancel()
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
        future.set_exception(error)
        # The error holds this frame: what it holds would stay until a garbage collection.
        del job, future, function
    else:
        future.set_result(result)

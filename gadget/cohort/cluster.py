"""Run tasks on a dask cluster.

Each worker of the cluster starts a process for each task, as a local run does. Files are read and
written by the workers: they need the same paths as here, and this package.
"""

from __future__ import annotations

import asyncio
import pickle
import queue
import socket
import uuid
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from gadget.cohort.events import Event, Outcome, Started
from gadget.cohort.job import Job
from gadget.cohort.recipe import Recipe
from gadget.cohort.task import Task
from gadget.errors import ConfigError
from gadget.extras import optional_import

ANSWER_SECONDS = 10
POLL_SECONDS = 0.5


def run_on_cluster(
    address: str, tasks: Sequence[Task], recipe: Recipe
) -> Generator[tuple[Task, Event], None, None]:
    """Run tasks and yield their events; the last event of a task is its `Outcome`.

    A task whose worker dies is given to another one. Closing the iterator ends what is still
    running.

    Parameters
    ----------
    address
        Address of the scheduler.
    tasks
        The files.
    recipe
        How they are reconstructed.

    Raises
    ------
    ConfigError
        No scheduler answers there, or dask.distributed is missing.
    """
    with _connect(address) as client:
        run = f"score-gadget-{uuid.uuid4().hex}"
        stop = _distributed().Event(run, client=client)
        events: queue.SimpleQueue[tuple[int, Event]] = queue.SimpleQueue()
        # What comes is from workers that run what this process sent them.
        client.subscribe_topic(run, lambda message: events.put(pickle.loads(message[1])))  # noqa: S301
        futures = [
            client.submit(
                _run_in_worker, run, number, task, recipe, key=f"{run}-{number}", pure=False
            )
            for number, task in enumerate(tasks)
        ]
        for number, future in enumerate(futures):
            future.add_done_callback(lambda one, number=number: events.put((number, _outcome(one))))
        left = set(range(len(tasks)))
        try:
            while left:
                number, event = events.get()
                if number in left:
                    if isinstance(event, Outcome):
                        left.remove(number)
                    yield tasks[number], event
        finally:
            if left:
                stop.set()
                client.cancel(futures)


def _distributed() -> Any:  # noqa: ANN401 - a module that is only partly typed
    with optional_import("A cluster needs", "dask"):
        import distributed
    return distributed


def _connect(address: str) -> Any:  # noqa: ANN401
    client = _distributed().Client
    try:
        _check_port(address)
        asyncio.run(_probe(client, address))
        return client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except Exception as error:
        # What is no scheduler may answer anything.
        raise ConfigError(
            f"No scheduler of dask answers at '{address}'; expected an address such as "
            "tcp://scheduler:8786."
        ) from error


def _check_port(address: str) -> None:
    """Raise `ValueError` for an invalid port, which dask would retry for ever."""
    _ = urlsplit(address if "://" in address else f"tcp://{address}").port


async def _probe(client: Any, address: str) -> None:  # noqa: ANN401
    """Connect once and leave again.

    A client with an event loop in a thread of its own waits for a silent server without end, and
    one that has failed is closed by the garbage collector, with a traceback.
    """
    probe = client(address, timeout=ANSWER_SECONDS, set_as_default=False, asynchronous=True)
    try:
        await asyncio.wait_for(probe, ANSWER_SECONDS)
    finally:
        await probe.close()


def _outcome(future: Any) -> Outcome:  # noqa: ANN401
    try:
        outcome: Outcome = future.result()
    except Exception as error:  # noqa: BLE001 - whatever befell the worker
        name = type(error).__name__
        return Outcome(f"The cluster could not carry it out: {name}: {error}", failed=True)
    return outcome


def _run_in_worker(run: str, number: int, task: Task, recipe: Recipe) -> Outcome:
    """Run a task in a worker of the cluster."""
    worker, stop = _distributed().get_worker(), _distributed().Event(run)

    def send(event: Event) -> None:
        worker.log_event(run, pickle.dumps((number, event)))

    send(Started())
    job = Job(task, recipe)
    try:
        while not stop.is_set():
            if job.connection.poll(POLL_SECONDS):
                event = job.read()
                if isinstance(event, Outcome):
                    return _located(event)
                send(event)
        return Outcome("It was stopped.", failed=True)
    finally:
        job.terminate()
        job.close()


def _located(outcome: Outcome) -> Outcome:
    """Add the host name to a failure: hosts of a cluster may differ."""
    if not outcome.failed:
        return outcome
    return replace(outcome, summary=f"{outcome.summary} (on {socket.gethostname()})")

"""Run tasks in processes on this machine, a few at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import wait
from typing import Any

from gadget.cohort.events import Event, Outcome, Started
from gadget.cohort.job import Job
from gadget.cohort.node_settings import own_settings
from gadget.cohort.recipe import Recipe
from gadget.cohort.task import Task
from gadget.diffusion.settings import SamplerSettings

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


def run_locally(
    tasks: Sequence[Task], recipe: Recipe, jobs: int
) -> Generator[tuple[Task, Event], None, None]:
    """Run tasks and yield their events; the last event of a task is its `Outcome`.

    Closing the iterator ends what is still running.

    Parameters
    ----------
    tasks
        The files.
    recipe
        How they are reconstructed.
    jobs
        Tasks at a time.
    """
    waiting = deque(tasks)
    free = deque(_environments(recipe, min(jobs, len(tasks))))
    running: dict[Any, tuple[Job, dict[str, str]]] = {}
    try:
        while waiting or running:
            while waiting and free:
                environment = free.popleft()
                job = Job(waiting.popleft(), recipe, environment)
                running[job.connection] = job, environment
                yield job.task, Started()
            for connection in wait(list(running)):
                job, environment = running[connection]
                event = job.read()
                if isinstance(event, Outcome):
                    del running[connection]
                    job.close()
                    free.append(environment)
                yield job.task, event
    finally:
        for job, _ in running.values():
            job.terminate()
        for job, _ in running.values():
            job.close()


def _environments(recipe: Recipe, jobs: int) -> list[dict[str, str]]:
    """Return environment variables for each job: its threads and its GPU."""
    if jobs <= 1:
        return [{}]
    environments: list[dict[str, str]] = [{} for _ in range(jobs)]
    if "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, _processors() // jobs)
        for environment in environments:
            environment["OMP_NUM_THREADS"] = str(threads)
    devices = _cuda_devices() if _chooses_device(recipe) else []
    if devices:
        for number, environment in enumerate(environments):
            environment[VISIBLE_DEVICES] = devices[number % len(devices)]
    return environments


def _processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _chooses_device(recipe: Recipe) -> bool:
    """Whether the nodes use the first visible CUDA device, not one with a number."""
    if recipe.server is not None:
        return False
    devices = [
        settings.device
        for settings in own_settings(recipe.pipeline)
        if isinstance(settings, SamplerSettings)
    ]
    return all(device in ("auto", "cuda") for device in devices)


def _cuda_devices() -> list[str]:
    named = os.environ.get(VISIBLE_DEVICES)
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]

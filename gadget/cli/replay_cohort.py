"""`score-gadget replay` of many files."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import typer

from gadget.cli.cohort_progress import CohortProgress, show_cohort_progress
from gadget.cli.console import print_error, print_result
from gadget.cohort.events import Event
from gadget.cohort.exports import open_writers
from gadget.cohort.output_files import locked_folder
from gadget.cohort.plan import Plan, make_plan
from gadget.cohort.pool import run_locally
from gadget.cohort.recipe import Recipe
from gadget.cohort.task import Task
from gadget.text import pluralize

log = logging.getLogger(__name__)


def replay_cohort(
    arguments: Sequence[Path], folder: Path, recipe: Recipe, jobs: int, cluster: str | None
) -> None:
    """Reconstruct the unfinished files of a cohort, and print a summary.

    Parameters
    ----------
    arguments
        Files of raw data, and folders of such.
    folder
        Folder for the images.
    recipe
        How the files are reconstructed.
    jobs
        Files at a time, on this machine.
    cluster
        Scheduler of a cluster to use instead.

    Raises
    ------
    ConfigError
        The cohort cannot be begun: nothing has been reconstructed.
    typer.Exit
        With status 1: files have failed.
    """
    plan = make_plan(arguments, folder, recipe)
    _log_plan(plan)
    progress = CohortProgress(plan.tasks)
    if plan.tasks:
        with open_writers(recipe.exports):
            pass  # reports missing packages before the work
        with locked_folder(folder, [task.output for task in plan.tasks]):
            try:
                _run(progress, _events(plan.tasks, recipe, jobs, cluster))
            except (KeyboardInterrupt, SystemExit):
                _print_stopped(progress, plan)
                raise
    _print_summary(progress, plan, folder)
    if any(outcome.failed for outcome in progress.outcomes.values()):
        raise typer.Exit(1)


def _events(
    tasks: Sequence[Task], recipe: Recipe, jobs: int, cluster: str | None
) -> Generator[tuple[Task, Event], None, None]:
    if cluster is None:
        return run_locally(tasks, recipe, jobs)
    from gadget.cohort.cluster import run_on_cluster

    return run_on_cluster(cluster, tasks, recipe)


def _run(progress: CohortProgress, events: Generator[tuple[Task, Event], None, None]) -> None:
    with closing(events), show_cohort_progress(progress) as display:
        for task, event in events:
            progress.update(task, event)
            display.show(task, event)


def _log_plan(plan: Plan) -> None:
    if plan.finished:
        log.info("Finished before: %s.", pluralize(plan.finished, "file"))
    if plan.outdated:
        log.info(
            "Made in another way or from other data, and to be made again: %s.",
            pluralize(plan.outdated, "output"),
        )


def _print_summary(progress: CohortProgress, plan: Plan, folder: Path) -> None:
    width = max((len(name) for name in progress.outcomes), default=0)
    for name, outcome in sorted(progress.outcomes.items()):
        words = f"failed: {outcome.summary}" if outcome.failed else outcome.summary
        print_result(f"{name:<{width}}  {outcome.seconds:8.1f} s  {words.splitlines()[0]}")
    failed = sum(outcome.failed for outcome in progress.outcomes.values())
    files = len(plan.tasks) + plan.finished
    print_result(
        f"{pluralize(files, 'file')}: {len(plan.tasks) - failed} done, {plan.finished} finished "
        f"before, {failed} failed: {folder}"
    )


def _print_stopped(progress: CohortProgress, plan: Plan) -> None:
    done = sum(not outcome.failed for outcome in progress.outcomes.values())
    print_error(
        f"Stopped. {done + plan.finished} of {len(plan.tasks) + plan.finished} files are finished; "
        "the same command goes on with the others."
    )

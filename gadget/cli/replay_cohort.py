"""`score-gadget replay` of many files."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import typer

from gadget.cli.cohort_progress import Account, follow_cohort
from gadget.cli.console import complain, say
from gadget.cohort.events import Event
from gadget.cohort.exports import open_writers
from gadget.cohort.output_files import locked_folder
from gadget.cohort.plan import Plan, make_plan
from gadget.cohort.pool import run_locally
from gadget.cohort.recipe import Recipe
from gadget.cohort.task import Task
from gadget.text import pluralize

FAILED = 1

log = logging.getLogger(__name__)


def replay_cohort(
    arguments: Sequence[Path], folder: Path, recipe: Recipe, jobs: int, cluster: str | None
) -> None:
    """Reconstruct what is not finished of a cohort, and tell how it went.

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
        Scheduler of a cluster that does the work instead.

    Raises
    ------
    ConfigError
        The cohort cannot be begun: nothing has been reconstructed.
    typer.Exit
        With status 1: files have failed.
    """
    plan = make_plan(arguments, folder, recipe)
    _tell(plan)
    account = Account(plan.tasks)
    if plan.tasks:
        with open_writers(recipe.exports):
            pass  # what is wrong with a format is told before the work
        with locked_folder(folder, [task.output for task in plan.tasks]):
            try:
                _show(account, _events(plan.tasks, recipe, jobs, cluster))
            except (KeyboardInterrupt, SystemExit):
                _say_how_to_go_on(account, plan)
                raise
    _summarise(account, plan, folder)
    if any(outcome.failed for outcome in account.outcomes.values()):
        raise typer.Exit(FAILED)


def _events(
    tasks: Sequence[Task], recipe: Recipe, jobs: int, cluster: str | None
) -> Generator[tuple[Task, Event], None, None]:
    if cluster is None:
        return run_locally(tasks, recipe, jobs)
    from gadget.cohort.cluster import run_on_cluster

    return run_on_cluster(cluster, tasks, recipe)


def _show(account: Account, events: Generator[tuple[Task, Event], None, None]) -> None:
    with closing(events), follow_cohort(account) as follower:
        for task, event in events:
            account.take(task, event)
            follower.show(task, event)


def _tell(plan: Plan) -> None:
    if plan.finished:
        log.info("Finished before: %s.", pluralize(plan.finished, "file"))
    if plan.outdated:
        log.info(
            "Made in another way or from other data, and to be made again: %s.",
            pluralize(plan.outdated, "output"),
        )


def _summarise(account: Account, plan: Plan, folder: Path) -> None:
    width = max((len(name) for name in account.outcomes), default=0)
    for name, outcome in sorted(account.outcomes.items()):
        words = f"failed: {outcome.summary}" if outcome.failed else outcome.summary
        say(f"{name:<{width}}  {outcome.seconds:8.1f} s  {words.splitlines()[0]}")
    failed = sum(outcome.failed for outcome in account.outcomes.values())
    files = len(plan.tasks) + plan.finished
    say(
        f"{pluralize(files, 'file')}: {len(plan.tasks) - failed} done, {plan.finished} finished "
        f"before, {failed} failed: {folder}"
    )


def _say_how_to_go_on(account: Account, plan: Plan) -> None:
    done = sum(not outcome.failed for outcome in account.outcomes.values())
    complain(
        f"Stopped. {done + plan.finished} of {len(plan.tasks) + plan.finished} files are finished; "
        "the same command goes on with the others."
    )

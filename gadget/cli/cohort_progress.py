"""Progress of a cohort: bars on a terminal, a log line for each file anywhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as ProgressBars

from gadget.cli.console import console
from gadget.cohort.events import Event, Logged, Outcome, Started, Status
from gadget.cohort.task import Task

log = logging.getLogger(__name__)


class CohortProgress:
    """Progress of a cohort, and the time that remains.

    Parameters
    ----------
    tasks
        The tasks of the cohort.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._sizes = {task.name: max(task.record.source.size, 1) for task in tasks}
        self._running: dict[str, Status] = {}
        self._started = time.monotonic()

    def update(self, task: Task, event: Event) -> None:
        """Update with an event of a file."""
        if isinstance(event, Status):
            self._running[task.name] = event
        elif isinstance(event, Started | Outcome):
            self._running.pop(task.name, None)
        if isinstance(event, Outcome):
            self.outcomes[task.name] = event

    @property
    def fraction(self) -> float:
        """Fraction of the work that is done, 0 to 1, where work is proportional to raw data."""
        # Most files that fail do so at once: they are no measure of speed.
        failed = sum(self._sizes[name] for name, one in self.outcomes.items() if one.failed)
        done = sum(self._sizes[name] for name in self.outcomes) - failed
        running = sum(self._sizes[name] * now.fraction for name, now in self._running.items())
        total = sum(self._sizes.values()) - failed
        return (done + running) / total if total else 1.0

    @property
    def summary(self) -> str:
        """Files, images and time left, as text."""
        images = sum(one.images for one in self.outcomes.values())
        images += sum(one.images for one in self._running.values())
        text = f"{len(self.outcomes)} of {len(self._sizes)} files, {images} images"
        fraction = self.fraction
        if not 0 < fraction < 1:
            return text
        seconds = (time.monotonic() - self._started) * (1 - fraction) / fraction
        return f"{text}, about {_duration(seconds)} left"


@contextmanager
def show_cohort_progress(progress: CohortProgress) -> Iterator[_BarDisplay | _LogDisplay]:
    """Give what shows the events of a cohort and its progress."""
    if not console.is_terminal:
        yield _LogDisplay(progress)
        return
    # Square brackets in the names of files are no markup.
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TextColumn("{task.fields[text]}"))
    with ProgressBars(*columns, console=console, transient=True) as bars:
        yield _BarDisplay(progress, bars)


class _BarDisplay:
    def __init__(self, progress: CohortProgress, bars: ProgressBars) -> None:
        self._progress = progress
        self._bars = bars
        self._all = bars.add_task("all", total=1.0, text=progress.summary)
        self._rows: dict[str, TaskID] = {}

    def show(self, task: Task, event: Event) -> None:
        if isinstance(event, Logged):
            _log(task, event)
            return
        self._bars.update(self._all, completed=self._progress.fraction, text=self._progress.summary)
        if isinstance(event, Outcome):
            if task.name in self._rows:
                self._bars.remove_task(self._rows.pop(task.name))
            if event.failed:
                log.error("%s: %s", task.name, event.summary)
        elif isinstance(event, Status):
            self._bars.update(
                self._rows[task.name],
                completed=event.fraction,
                text=f"{event.images} of {event.expected} images",
            )
        elif task.name not in self._rows:
            self._rows[task.name] = self._bars.add_task(task.name, total=1.0, text="")


class _LogDisplay:
    def __init__(self, progress: CohortProgress) -> None:
        self._progress = progress

    def show(self, task: Task, event: Event) -> None:
        if isinstance(event, Logged):
            _log(task, event)
        elif isinstance(event, Outcome):
            level = logging.ERROR if event.failed else logging.INFO
            log.log(level, "%s: %s (%s)", task.name, event.summary, self._progress.summary)


def _log(task: Task, event: Logged) -> None:
    logging.getLogger(event.logger).log(event.level, "%s: %s", task.name, event.text)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"

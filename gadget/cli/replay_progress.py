"""Progress of a replay: bars on a terminal, log lines anywhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ismrmrd
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBars

from gadget.cli.console import LINE_SECONDS, console
from gadget.mrd.images.counter import ImageCounter
from gadget.mrd.images.meta import is_std_map
from gadget.stream.progress import Progress

log = logging.getLogger(__name__)


@contextmanager
def show_progress(counter: ImageCounter, readouts: int) -> Iterator[_BarDisplay | _LogDisplay]:
    """Give what shows the progress of nodes, and each image that was received.

    Parameters
    ----------
    counter
        Counts readouts and images.
    readouts
        Readouts in the file.
    """
    if not console.is_terminal:
        yield _LogDisplay(counter, readouts)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with ProgressBars(*columns, console=console, transient=True) as bars:
        yield _BarDisplay(counter, readouts, bars)


class _BarDisplay:
    def __init__(self, counter: ImageCounter, readouts: int, bars: ProgressBars) -> None:
        self._counter = counter
        self._bars = bars
        self._read = bars.add_task("readouts", total=readouts)
        self._images = bars.add_task("images", total=None)
        self._steps = bars.add_task("sampling", total=None)

    def show(self, progress: Progress) -> None:
        done, total = progress.steps
        if total:
            self._bars.update(self._steps, description=progress.text, completed=done, total=total)
        self._update()

    def show_image(self, image: ismrmrd.Image) -> None:
        self._update()

    def _update(self) -> None:
        counter = self._counter
        self._bars.update(self._read, completed=counter.readouts)
        self._bars.update(self._images, completed=counter.images, total=counter.expected or None)


class _LogDisplay:
    def __init__(self, counter: ImageCounter, readouts: int) -> None:
        self._counter = counter
        self._next = time.monotonic() + LINE_SECONDS
        log.info("%d readouts in the file", readouts)

    def show(self, progress: Progress) -> None:
        done, total = progress.steps
        if not total or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LINE_SECONDS
        log.info(
            "%d readouts read, %d images made, %s %d of %d",
            self._counter.readouts,
            self._counter.images,
            progress.text,
            done,
            total,
        )

    def show_image(self, image: ismrmrd.Image) -> None:
        head = image.getHead()
        log.info(
            "%s %d of %d: series %d, slice %d, contrast %d, repetition %d",
            "standard deviation of image" if is_std_map(image.meta) else "image",
            self._counter.images,
            self._counter.expected,
            head.image_series_index,
            head.slice,
            head.contrast,
            head.repetition,
        )

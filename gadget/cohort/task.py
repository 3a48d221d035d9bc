"""Reconstruction of one file of a cohort."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ismrmrd

from gadget import __version__
from gadget.cohort.events import Outcome, Status
from gadget.cohort.exports import open_writers, write_images
from gadget.cohort.output_files import move_into_place, working_folder
from gadget.cohort.recipe import Recipe
from gadget.cohort.record import Record, write_record
from gadget.errors import ConfigError, DataError, ReconError, sentence
from gadget.mrd.hdf5 import BeingWritten, open_hdf5
from gadget.mrd.images.counter import ImageCounter
from gadget.mrd.images.reader import read_images
from gadget.mrd.images.writer import ImageWriter
from gadget.mrd.raw.raw_file import RawFile
from gadget.stream.client import run_on_server
from gadget.stream.host.pipeline import parse_pipeline
from gadget.stream.host.run import run_pipeline
from gadget.stream.progress import Progress

log = logging.getLogger(__name__)

REPORT_SECONDS = 0.2


@dataclass(frozen=True)
class Task:
    """A file of raw data and its output."""

    name: str
    """Path of the images below the folder of the cohort, without suffix."""
    raw: Path
    output: Path
    record: Record
    """Provenance to be stored in the output."""
    reconstruct: bool = True
    """Whether to reconstruct; if not, existing images are only exported."""


def run_task(task: Task, recipe: Recipe, report: Callable[[Status], None]) -> Outcome:
    """Run a task and return its outcome; errors are in it, not raised."""
    started = time.monotonic()
    counter = ImageCounter()
    try:
        _check_version(task)
        _write_output(task, recipe, counter, report)
    except Exception as error:
        log.debug("The traceback of the error:", exc_info=True)
        return Outcome(sentence(error), failed=True, seconds=time.monotonic() - started)
    summary = counter.summary if task.reconstruct else "exported"
    return Outcome(summary, counter.images, seconds=time.monotonic() - started)


def reconstruct(
    raw: RawFile,
    recipe: Recipe,
    counter: ImageCounter,
    on_image: Callable[[ismrmrd.Image], None],
    on_progress: Callable[[Progress], None],
) -> None:
    """Reconstruct raw data, here or with a server.

    Parameters
    ----------
    raw
        The raw data.
    recipe
        How they are reconstructed.
    counter
        Counts readouts and images.
    on_image
        Called for each image once it is counted.
    on_progress
        Called with the progress of the nodes.

    Raises
    ------
    ReconError
        The reconstruction failed, or images are missing. Those that there are have been handed on.
    """

    def take(image: ismrmrd.Image) -> None:
        counter.add_image(image)
        on_image(image)

    messages = counter.count_readouts(raw.messages())
    if recipe.server is None:
        nodes = parse_pipeline(recipe.pipeline.encode())
        run_pipeline(nodes, raw.header_xml, messages, take, on_progress)
    else:
        pipeline = recipe.pipeline if recipe.pipeline_is_name else recipe.pipeline.encode()
        run_on_server(recipe.server, pipeline, raw.header_xml, messages, take)
    for _ in messages:
        pass  # what was not asked for is expected all the same
    counter.check()


def _check_version(task: Task) -> None:
    wanted = task.record.recipe.version
    if wanted != __version__:
        raise ConfigError(
            f"Version {wanted} of score-gadget has sent the file to version {__version__}: install "
            "the same one everywhere."
        )


def _write_output(
    task: Task, recipe: Recipe, counter: ImageCounter, report: Callable[[Status], None]
) -> None:
    with RawFile(task.raw, recipe.in_group) as raw, working_folder(task.output) as folder:
        images = folder / task.output.name
        _keep_other_groups(task.output, images)
        if task.reconstruct:
            try:
                _make_images(raw, images, recipe, counter, report)
            except ReconError:
                # Without a record: the next attempt makes all of them.
                if counter.images and not task.output.exists():
                    move_into_place(images, task.output)
                raise
        record = task.record
        failure: Exception | None = None
        try:
            _export(images, recipe, raw.header_xml, task.name)
        except Exception as error:
            if not task.reconstruct:
                raise
            # The images are kept, so that the next attempt only exports them.
            failure, record = error, record.model_copy(update={"exports": frozenset()})
        write_record(images, recipe.out_group, record)
        move_into_place(images, task.output)
    if failure is not None:
        raise failure


def _export(images: Path, recipe: Recipe, header_xml: bytes, name: str) -> None:
    if not recipe.exports:
        return
    with open_writers(recipe.exports, header_xml, name) as writers:
        problems = write_images(read_images(images, recipe.out_group), writers)
    if problems:
        raise problems[0]


def _keep_other_groups(output: Path, images: Path) -> None:
    try:
        open_hdf5(output).close()
    except BeingWritten:  # it would be replaced by a file without them
        raise
    except (ConfigError, DataError):  # there is no output yet, or it is only half of one
        return
    shutil.copyfile(output, images)


def _make_images(
    raw: RawFile,
    images: Path,
    recipe: Recipe,
    counter: ImageCounter,
    report: Callable[[Status], None],
) -> None:
    meter = _ProgressMeter(counter, raw.number_of_acquisitions, report)
    with ImageWriter(images, recipe.out_group, raw.header_xml) as writer:

        def take(image: ismrmrd.Image) -> None:
            writer.append(image)
            meter.count_image()

        reconstruct(raw, recipe, counter, take, meter.show_steps)


class _ProgressMeter:
    """Reports the progress of a task a few times a second."""

    def __init__(
        self, counter: ImageCounter, readouts: int, report: Callable[[Status], None]
    ) -> None:
        self._counter = counter
        self._readouts = readouts
        self._report = report
        self._step = 0.0
        self._next = 0.0

    def count_image(self) -> None:
        self._step = 0.0
        self._report_status()

    def show_steps(self, progress: Progress) -> None:
        done, total = progress.steps
        if total and time.monotonic() >= self._next:
            self._step = done / total
            self._report_status()

    def _report_status(self) -> None:
        self._next = time.monotonic() + REPORT_SECONDS
        counter = self._counter
        read = counter.readouts / max(self._readouts, 1)
        made = (counter.images + self._step) / max(counter.expected, 1)
        self._report(Status(counter.images, counter.expected, min(1.0, read * made)))

"""What is told of a cohort while it is reconstructed."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from gadget.cli import cohort_progress
from gadget.cli.cohort_progress import CohortProgress, show_cohort_progress
from gadget.cohort.events import Logged, Outcome, Started, Status
from gadget.cohort.record import RecipeFingerprint, Record, Source
from gadget.cohort.task import Task

FINGERPRINT = RecipeFingerprint(version="1", pipeline="", server=False, models={}, group=None)


@pytest.fixture
def clock(monkeypatch):
    """The time; tests set it."""
    now = [0.0]
    monkeypatch.setattr(cohort_progress.time, "monotonic", lambda: now[0])
    return now


def task(name: str, size: int) -> Task:
    source = Source(name=name, size=size, modified_ns=0)
    return Task(name, Path(name), Path(name), Record(source=source, recipe=FINGERPRINT))


BIG, SMALL = task("big", 3000), task("small", 1000)


def test_the_time_left_goes_by_the_size_of_the_data(clock):
    progress = CohortProgress([BIG, SMALL])
    assert progress.summary == "0 of 2 files, 0 images"
    progress.update(BIG, Started())
    progress.update(BIG, Status(5, 20, 0.25))
    clock[0] = 30.0
    assert progress.fraction == pytest.approx(0.1875)
    assert progress.summary == "0 of 2 files, 5 images, about 2 min 10 s left"
    progress.update(BIG, Outcome("20 images", 20))
    assert progress.summary == "1 of 2 files, 20 images, about 10 s left"
    clock[0] = 12000.0
    assert progress.summary.endswith("about 1 h 06 min left")
    progress.update(SMALL, Outcome("it is broken", failed=True))
    assert progress.summary == "2 of 2 files, 20 images"


def test_files_that_fail_at_once_say_nothing_of_the_time_left(clock):
    progress = CohortProgress([BIG, SMALL])
    clock[0] = 1.0
    progress.update(BIG, Outcome("it is broken", failed=True))
    assert progress.summary == "1 of 2 files, 0 images"
    progress.update(SMALL, Status(1, 2, 0.5))
    assert progress.summary == "1 of 2 files, 1 images, about 1 s left"
    progress.update(SMALL, Outcome("so is this", failed=True))
    assert progress.fraction == 1.0


def test_a_file_that_begins_again_has_done_nothing(clock):
    progress = CohortProgress([BIG])
    progress.update(BIG, Status(5, 20, 0.25))
    progress.update(BIG, Started())
    assert progress.summary == "0 of 1 files, 0 images"


@pytest.fixture
def screen(monkeypatch):
    """What a terminal shows."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(cohort_progress, "console", console)
    return screen


def test_square_brackets_in_names_are_shown(screen):
    one = task("[left] knee[/x]", 1)
    progress = CohortProgress([one])
    with show_cohort_progress(progress) as follower:
        follower.show(one, Started())
    assert "[left] knee[/x]" in screen.getvalue()


def test_bars_on_a_terminal(screen, caplog):
    progress = CohortProgress([BIG, SMALL])
    with show_cohort_progress(progress) as follower:
        for one, event in (
            (BIG, Started()),
            (BIG, Started()),
            (BIG, Status(1, 4, 0.25)),
            (BIG, Logged(logging.WARNING, "gadget.node.reconstruct", "no noise scan")),
            (SMALL, Started()),
            (SMALL, Outcome("it is broken", failed=True)),
            (BIG, Outcome("4 images", 4)),
        ):
            progress.update(one, event)
            follower.show(one, event)
    shown = screen.getvalue()
    assert "1 of 4 images" in shown
    assert "2 of 2 files, 4 images" in shown
    assert ("gadget.node.reconstruct", logging.WARNING, "big: no noise scan") in (
        caplog.record_tuples
    )
    assert [text for _, level, text in caplog.record_tuples if level == logging.ERROR] == [
        "small: it is broken"
    ]

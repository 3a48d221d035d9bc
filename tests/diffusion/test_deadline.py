from __future__ import annotations

import pytest

from gadget.diffusion.deadline import MIN_STEPS, TRIAL_STEPS, StepTimer
from gadget.errors import DeadlineError


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(clock):
    """A sampler whose steps take 0.5 s; it records how many it was asked for."""
    asked: list[int] = []

    def sampler(steps: int, report) -> None:
        asked.append(steps)
        for done in range(1, steps + 1):
            clock.now += sampler.seconds
            report(done, steps)

    sampler.asked = asked
    sampler.seconds = 0.5
    return sampler


def test_without_a_deadline_nothing_is_timed_or_planned(clock, run):
    deadline = StepTimer(None, clock).start()
    clock.now += 1e6
    assert deadline.plan(30, "fast", run, share=1, reserved_s=0) == 30
    deadline.check()
    assert run.asked == []


@pytest.mark.parametrize(
    ("seconds", "share", "reserved_s", "expected"),
    [
        (100, 1, 0, 30),
        (11, 1, 0, 18),  # 1 s is gone by the trial: 0.9 * 10 s / 0.5 s
        (21, 0.5, 0, 18),
        (13, 1, 2, 18),
    ],
)
def test_steps_fill_the_time_that_is_left(clock, run, seconds, share, reserved_s, expected):
    deadline = StepTimer(seconds, clock).start()
    assert deadline.plan(30, "fast", run, share, reserved_s) == expected
    assert run.asked == [TRIAL_STEPS]


def test_the_time_of_a_step_is_measured_once_for_images_of_a_kind(clock, run):
    timer = StepTimer(11, clock)
    timer.measure("fast", run, 10)
    assert timer.start().plan(30, "fast", run, 1, 0) == 19
    assert run.asked == [10]
    timer.start().plan(30, "another", run, 1, 0)
    assert run.asked == [10, TRIAL_STEPS]


def test_time_that_was_lost_before_counts(clock, run):
    timer = StepTimer(11, clock)
    timer.measure("fast", run, 10)
    deadline = timer.start()
    clock.now += 4
    assert deadline.plan(30, "fast", run, 1, 0) == 12


def test_too_little_time_is_an_error_that_tells_the_times(clock, run):
    deadline = StepTimer(MIN_STEPS * 0.5, clock).start()
    with pytest.raises(DeadlineError, match=r"1\.0 s are left of the 3 s .* step takes 0\.50 s"):
        deadline.plan(30, "fast", run, 1, 0)


def test_few_steps_are_enough_where_few_are_wanted(clock, run):
    deadline = StepTimer(3, clock).start()
    assert deadline.plan(3, "fast", run, 1, 0) == 3
    with pytest.raises(DeadlineError, match="at least 3 steps"):
        StepTimer(1, clock).start().plan(3, "fast", run, 1, 0)


def test_a_deadline_that_passes_is_noticed(clock):
    deadline = StepTimer(2, clock).start()
    clock.now += 1.9
    deadline.check()
    clock.now += 0.2
    with pytest.raises(DeadlineError, match="2 s that deadline_s allows are over"):
        deadline.check()


def test_no_step_is_tried_when_the_time_is_over(clock, run):
    deadline = StepTimer(2, clock).start()
    clock.now += 2.1
    with pytest.raises(DeadlineError, match="2 s that deadline_s allows are over"):
        deadline.plan(30, "fast", run, 1, 0)
    assert run.asked == []


def test_the_first_run_of_all_does_not_decide(clock, run):
    def slow_at_first(steps, report):
        clock.now += 2.0 if not run.asked else 0.0
        run(steps, report)

    run.seconds = 0.05
    deadline = StepTimer(5, clock).start()
    assert deadline.plan(30, "fast", slow_at_first, 1, 0) == 30
    assert run.asked == [TRIAL_STEPS] * 2


def test_a_busy_moment_is_forgotten(clock, run):
    timer = StepTimer(5, clock)
    run.seconds = 1.0
    timer.measure("fast", run, 10)
    run.seconds = 0.1
    assert timer.start().plan(30, "fast", run, 1, 0) == 30


def test_a_run_that_is_broken_off_tells_how_slow_its_steps_were(clock, run):
    timer = StepTimer(5, clock)
    timer.measure("fast", run, 10)
    run.seconds = 1.0
    deadline = timer.start()
    with pytest.raises(DeadlineError):
        timer.measure("fast", run, 30, lambda done, total: deadline.check())
    assert timer.per_step["fast"] == 1.0

"""Deadlines: the number of sampler steps that fit into the time for an image."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import TypeAlias

from gadget.diffusion.progress import ProgressCallback, no_progress
from gadget.errors import DeadlineError

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], float]
RunSteps: TypeAlias = Callable[[int, ProgressCallback], object]
"""Runs a number of sampler steps and reports the progress."""

MIN_STEPS = 6
"""With fewer steps the conventional image is better."""
TRIAL_STEPS = 2
"""Steps of a trial run, which measures the time of a step."""
MAX_TRIALS = 2
"""The first trial on a device may include seconds of one-time initialisation."""
RESERVE = 0.9
"""Share of the time left that is used: the time of a step varies."""


class StepTimer:
    """Measured times of a sampler step, kept from one image to the next.

    Parameters
    ----------
    seconds
        Time limit for an image [s]; None: no limit.
    clock
        Returns the time [s].
    """

    def __init__(self, seconds: float | None, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self.per_step: dict[Hashable, float] = {}
        """Time of a step [s], by the key of `measure`."""

    def start(self) -> Deadline:
        """Return the deadline of an image that starts now."""
        return Deadline(self, self.clock())

    def measure(
        self, key: Hashable, run: RunSteps, steps: int, report: ProgressCallback = no_progress
    ) -> None:
        """Time `run(steps, report)`; steps of the same `key` take the same time.

        An aborted run counts with the steps that it finished: slow steps may be why it ended.
        """
        started = self.clock()
        finished = 0.0

        def count(done: int, total: int) -> None:
            nonlocal finished
            finished = done * steps / total  # some samplers draw one sample after the other
            report(done, total)

        try:
            run(steps, count)
        finally:
            if finished:
                self.per_step[key] = (self.clock() - started) / finished


class Deadline:
    """When one image must be ready."""

    def __init__(self, timer: StepTimer, started: float) -> None:
        self._timer = timer
        self._started = started

    @property
    def elapsed(self) -> float:
        """Time since the image was begun [s]."""
        return self._timer.clock() - self._started

    def plan(
        self, wanted: int, key: Hashable, run: RunSteps, share: float, reserved_s: float
    ) -> int:
        """Return the number of steps that there is time for.

        Parameters
        ----------
        wanted
            Steps without a deadline.
        key, run
            As in `StepTimer.measure`.
        share
            Share of the time left that these steps may take: 1 / planes still to do.
        reserved_s
            Time to keep for conventional images, should the sampler be late [s].

        Raises
        ------
        DeadlineError
            There is time for fewer than `MIN_STEPS`.
        """
        if self._timer.seconds is None:
            return wanted
        self.check()  # before time is spent on a trial
        min_steps = min(MIN_STEPS, wanted)
        trials = 0
        while True:
            if key not in self._timer.per_step:
                self._timer.measure(key, run, TRIAL_STEPS)
                trials += 1
            per_step = self._timer.per_step[key]
            left = self._timer.seconds - reserved_s - self.elapsed
            steps = min(wanted, int(RESERVE * share * left / max(per_step, 1e-9)))
            if steps >= min_steps:
                break
            # The machine was busy, or this was the first run, which includes initialisation.
            del self._timer.per_step[key]
            if trials == MAX_TRIALS or left < TRIAL_STEPS * per_step:
                raise DeadlineError(
                    f"{max(left, 0):.1f} s are left of the {self._timer.seconds:g} s that "
                    f"deadline_s allows, and a step takes {per_step:.2f} s: expected time for at "
                    f"least {min_steps} steps in each plane"
                )
        if steps < wanted:
            log.info("%d of %d steps fit into %g s", steps, wanted, self._timer.seconds)
        return steps

    def check(self) -> None:
        """Raise `DeadlineError` if the time is over."""
        if self._timer.seconds is not None and self.elapsed > self._timer.seconds:
            raise DeadlineError(f"the {self._timer.seconds:g} s that deadline_s allows are over")

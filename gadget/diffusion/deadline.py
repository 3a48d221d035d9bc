"""As many sampler steps as fit into the time that an image may take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import TypeAlias

from gadget.diffusion.progress import Progress, silent
from gadget.errors import DeadlineError

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], float]
Run: TypeAlias = Callable[[int, Progress], object]
"""Takes so many steps of the sampler, and tells of each."""

FEWEST_STEPS = 6
"""With fewer steps the conventional image is the better one."""
TRIAL_STEPS = 2
"""Steps of the run that measures the time of one where it is not known yet."""
MOST_TRIALS = 2
"""The first trial on a device may take seconds for what is never done again."""
RESERVE = 0.9
"""Share of the time left that is planned with: not every step takes the same."""


class Stopwatch:
    """Knows how long a step of the sampler takes, from one image to the next.

    Parameters
    ----------
    seconds
        Time that an image may take [s]; None: any.
    clock
        Returns the time [s].
    """

    def __init__(self, seconds: float | None, clock: Clock = time.monotonic) -> None:
        self.seconds = seconds
        self.clock = clock
        self._per_step: dict[Hashable, float] = {}

    def start(self) -> Deadline:
        """Return the deadline of an image that is begun now."""
        return Deadline(self, self.clock())

    def measure(self, kind: Hashable, run: Run, steps: int, report: Progress = silent) -> None:
        """Time `run(steps, report)`; images of one `kind` take the same time a step.

        A run that is broken off counts as far as it came: it may be the slow steps that end it.
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
                self._per_step[kind] = (self.clock() - started) / finished

    def knows(self, kind: Hashable) -> bool:
        """Whether the time of a step was measured."""
        return kind in self._per_step

    def per_step(self, kind: Hashable) -> float:
        """Return the time of a step [s]."""
        return self._per_step[kind]

    def forget(self, kind: Hashable) -> None:
        """Let the time of a step be measured again."""
        self._per_step.pop(kind, None)


class Deadline:
    """When one image must be ready."""

    def __init__(self, watch: Stopwatch, started: float) -> None:
        self._watch = watch
        self._started = started

    @property
    def elapsed(self) -> float:
        """Time since the image was begun [s]."""
        return self._watch.clock() - self._started

    def plan(self, wanted: int, kind: Hashable, run: Run, share: float, spare: float) -> int:
        """Return how many steps there is time for.

        Parameters
        ----------
        wanted
            Steps without a deadline.
        kind, run
            As in `Stopwatch.measure`.
        share
            Share of the time left that these steps may take: 1 / planes still to do.
        spare
            Time to leave for a conventional image instead [s].

        Raises
        ------
        DeadlineError
            There is time for fewer than `FEWEST_STEPS`.
        """
        if self._watch.seconds is None:
            return wanted
        self.check()  # before time is spent on a trial
        fewest = min(FEWEST_STEPS, wanted)
        trials = 0
        while True:
            if not self._watch.knows(kind):
                self._watch.measure(kind, run, TRIAL_STEPS)
                trials += 1
            per_step = self._watch.per_step(kind)
            left = self._watch.seconds - spare - self.elapsed
            steps = min(wanted, int(RESERVE * share * left / max(per_step, 1e-9)))
            if steps >= fewest:
                break
            # It was a busy moment, perhaps, or the first run of all, which prepares the others.
            self._watch.forget(kind)
            if trials == MOST_TRIALS or left < TRIAL_STEPS * per_step:
                raise DeadlineError(
                    f"{max(left, 0):.1f} s are left of the {self._watch.seconds:g} s that "
                    f"deadline_s allows, and a step takes {per_step:.2f} s: expected time for at "
                    f"least {FEWEST_STEPS} steps in each plane"
                )
        if steps < wanted:
            log.info("%d of %d steps fit into %g s", steps, wanted, self._watch.seconds)
        return steps

    def check(self) -> None:
        """Raise `DeadlineError` if the time is over."""
        if self._watch.seconds is not None and self.elapsed > self._watch.seconds:
            raise DeadlineError(f"the {self._watch.seconds:g} s that deadline_s allows are over")

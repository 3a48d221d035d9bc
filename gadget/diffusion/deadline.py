"""As many sampler steps as fit into the time that an image may take."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import TypeAlias

from gadget.errors import DeadlineError

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], float]

FEWEST_STEPS = 6
"""With fewer steps the conventional image is the better one."""
TRIAL_STEPS = 2
"""Steps of the run that measures the time of one where it is not known yet."""
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

    def measure(self, kind: Hashable, run: Callable[[int], object], steps: int) -> None:
        """Time `run(steps)`; images of one `kind` take the same time a step."""
        started = self.clock()
        run(steps)
        self._per_step[kind] = (self.clock() - started) / steps

    def per_step(self, kind: Hashable, run: Callable[[int], object]) -> float:
        """Return the time of a step [s], from a short run where there was none before."""
        if kind not in self._per_step:
            self.measure(kind, run, TRIAL_STEPS)
        return self._per_step[kind]


class Deadline:
    """When one image must be ready."""

    def __init__(self, watch: Stopwatch, started: float) -> None:
        self._watch = watch
        self._started = started

    @property
    def elapsed(self) -> float:
        """Time since the image was begun [s]."""
        return self._watch.clock() - self._started

    def plan(
        self, wanted: int, kind: Hashable, run: Callable[[int], object], share: float, spare: float
    ) -> int:
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
        per_step = self._watch.per_step(kind, run)
        left = self._watch.seconds - spare - self.elapsed
        steps = min(wanted, int(RESERVE * share * left / max(per_step, 1e-9)))
        if steps < min(FEWEST_STEPS, wanted):
            raise DeadlineError(
                f"{max(left, 0):.1f} s are left of the {self._watch.seconds:g} s that deadline_s "
                f"allows, and a step takes {per_step:.2f} s: expected time for at least "
                f"{FEWEST_STEPS} steps in each plane"
            )
        if steps < wanted:
            log.info("%d of %d steps fit into %g s", steps, wanted, self._watch.seconds)
        return steps

    def check(self) -> None:
        """Raise `DeadlineError` if the time is over."""
        if self._watch.seconds is not None and self.elapsed > self._watch.seconds:
            raise DeadlineError(f"the {self._watch.seconds:g} s that deadline_s allows are over")

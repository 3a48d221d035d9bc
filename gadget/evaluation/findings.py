"""Results of an evaluation, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gadget.evaluation.checks.lesions import LesionPair, LesionRecord
from gadget.evaluation.checks.noise import NoiseResult
from gadget.evaluation.collection import Collection
from gadget.evaluation.methods.method import Method


@dataclass
class Findings:
    """All results of an evaluation."""

    main: Collection | None = None
    """Results on the inputs."""
    anatomy: Collection | None = None
    """Results on an object that is out of distribution for the prior."""
    checked_methods: Sequence[Method] = ()
    """Methods that are checked with lesions and with noise."""
    lesions: list[LesionRecord] = field(default_factory=list)
    lesion_pairs: list[LesionPair] = field(default_factory=list)
    """Pairs of the first slice."""
    noise: list[NoiseResult] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    """Inputs that could not be evaluated, or only in part."""
    done: int = 0
    """Finished steps."""
    stopped: BaseException | None = None
    """What ended the evaluation early: Ctrl-C or a signal."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        compared = [one for one in (self.main, self.anatomy) if one and one.shown]
        return not (compared or self.lesions or self.noise)

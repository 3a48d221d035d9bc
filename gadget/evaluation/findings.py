"""What an evaluation leaves for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gadget.evaluation.checks.lesions import LesionPair, LesionRecord
from gadget.evaluation.checks.noise import NoiseResult
from gadget.evaluation.collection import Collection
from gadget.evaluation.methods.method import Method


@dataclass
class Findings:
    """All that an evaluation found."""

    main: Collection | None = None
    """On the inputs."""
    anatomy: Collection | None = None
    """On an object unlike what the prior knows."""
    checked: Sequence[Method] = ()
    """Methods that are checked with lesions and with noise."""
    lesions: list[LesionRecord] = field(default_factory=list)
    lesion_pairs: list[LesionPair] = field(default_factory=list)
    """Of the first slice."""
    noise: list[NoiseResult] = field(default_factory=list)
    done: int = 0
    """Pieces of work that are finished."""
    stopped: BaseException | None = None
    """What ended the evaluation early: Ctrl-C or a signal."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        compared = [one for one in (self.main, self.anatomy) if one and one.shown]
        return not (compared or self.lesions or self.noise)

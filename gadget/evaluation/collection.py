"""Accumulated results: records of all slices, images of the first ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gadget.evaluation.experiment import MethodFailure, Result
from gadget.evaluation.methods.method import Method
from gadget.evaluation.records import ScoreRecord
from gadget.evaluation.summary import Summary, summarise
from gadget.evaluation.uncertainty import Reliability, reliability
from gadget.mri.sampling.patterns import Pattern

SHOWN = 3
"""Slices whose images are kept."""


@dataclass
class Collection:
    """Results of an evaluation so far."""

    patterns: Sequence[Pattern]
    methods: Sequence[Method]
    records: list[ScoreRecord] = field(default_factory=list)
    shown: dict[str, list[Result]] = field(default_factory=dict)
    """Results of the first slices, by the title of the slice."""
    reliability: dict[str, list[Reliability]] = field(default_factory=lambda: defaultdict(list))
    """Reliability curves of the slices, by the name of the pattern."""

    def add(self, result: Result | MethodFailure) -> ScoreRecord:
        """Add a result and return its record."""
        record = ScoreRecord.of(result)
        self.records.append(record)
        if isinstance(result, Result):
            title = result.case.title
            if title in self.shown or len(self.shown) < SHOWN:
                self.shown.setdefault(title, []).append(result)
            if result.std is not None:
                curve = reliability(result.case.truth, result.image, result.std)
                self.reliability[result.pattern.name].append(curve)
        return record

    @property
    def summary(self) -> Summary:
        """The summary table."""
        return summarise(self.records, self.patterns, self.methods)

    @property
    def slices(self) -> int:
        """Number of slices."""
        return len({(record.file, record.slice) for record in self.records})

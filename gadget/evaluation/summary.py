"""What the numbers of an evaluation come to: mean and spread over slices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gadget.evaluation.methods.method import Method
from gadget.evaluation.records import Record
from gadget.mri.sampling.patterns import Pattern


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over slices."""

    mean: float
    deviation: float | None
    """None for a single slice."""

    def text(self, digits: int, with_deviation: bool = True) -> str:
        """Return ``mean ± deviation``, or the mean alone."""
        mean = f"{self.mean:.{digits}f}"
        if self.deviation is None or not with_deviation:
            return mean
        return f"{mean} ± {self.deviation:.{digits}f}"


@dataclass(frozen=True)
class Quantity:
    """A column of a table."""

    name: str
    """Field of a record."""
    heading: str
    digits: int
    spread: bool
    """Whether to give the spread over slices, too."""
    best: Callable[[Sequence[float]], float] | None = None
    """Which mean is the best one; None where none is."""


QUALITY = (
    Quantity("psnr", "PSNR [dB]", 2, True, max),
    Quantity("ssim", "SSIM", 3, True, max),
    Quantity("nmse", "NMSE", 4, True, min),
    Quantity("hfen", "HFEN", 3, True, min),
    Quantity("seconds", "time [s]", 1, False),
    Quantity("evaluations", "evaluations", 0, False),
)
HONESTY = (
    Quantity("within_one_sigma", "error < 1 SD", 2, False),
    Quantity("within_two_sigma", "error < 2 SD", 2, False),
    Quantity("sigma_correlation", "r(error, SD)", 2, False),
)


@dataclass(frozen=True)
class Cell:
    """One number of a table in words."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """What one method came to."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """What all methods came to with one pattern."""

    title: str
    pattern: str
    """Its name."""
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Summary:
    """The table of an evaluation: mean and spread over slices."""

    headings: tuple[str, ...]
    sections: tuple[Section, ...]


def summarise(
    records: Sequence[Record], patterns: Sequence[Pattern], methods: Sequence[Method]
) -> Summary:
    """Sum up records, a section for each pattern, a row for each method."""
    honest = any(record.within_one_sigma is not None for record in records)
    quantities = QUALITY + HONESTY if honest else QUALITY
    sections = []
    for pattern in patterns:
        here = [record for record in records if record.pattern == pattern.name]
        groups = {m.label: [r for r in here if r.method == m.name] for m in methods}
        columns = [_column(groups.values(), quantity) for quantity in quantities]
        rows = [
            Row(_counted(label, group), cells)
            for (label, group), cells in zip(
                groups.items(), zip(*columns, strict=True), strict=True
            )
        ]
        accelerations = [r.acceleration for r in here if r.acceleration is not None]
        if accelerations:
            title = f"{pattern.label} (1 in {np.mean(accelerations):.3g} measured)"
            sections.append(Section(title, pattern.name, tuple(rows)))
    return Summary(tuple(one.heading for one in quantities), tuple(sections))


def spread(records: Iterable[object], name: str) -> Spread | None:
    """Return mean and deviation of a field, None where no record has it."""
    values = [getattr(record, name) for record in records]
    known = np.array([v for v in values if v is not None and np.isfinite(v)], np.float64)
    if not known.size:
        return None
    return Spread(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else None)


def _column(groups: Collection[Sequence[Record]], quantity: Quantity) -> list[Cell]:
    spreads = [spread(group, quantity.name) for group in groups]
    # Who gave up on the hard slices is not the best for that.
    most = max(map(_good, groups), default=0)
    means = [
        one.mean for one, group in zip(spreads, groups, strict=True) if one and _good(group) == most
    ]
    compared = sum(one is not None for one in spreads) > 1
    best = quantity.best(means) if quantity.best and compared and means else None
    return [
        Cell(one.text(quantity.digits, quantity.spread), one.mean == best) if one else Cell("")
        for one in spreads
    ]


def _good(group: Sequence[Record]) -> int:
    return sum(record.psnr is not None for record in group)


def _counted(label: str, group: Sequence[Record]) -> str:
    """Say it where a method failed on some slices."""
    good = _good(group)
    return label if good == len(group) else f"{label} ({good} of {len(group)} slices)"

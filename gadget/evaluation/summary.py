"""Summary statistics of an evaluation: mean and standard deviation over slices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from gadget.evaluation.methods.method import Method
from gadget.evaluation.records import ScoreRecord
from gadget.mri.sampling.patterns import Pattern


@dataclass(frozen=True)
class MeanStd:
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
    show_std: bool
    """Whether to show the standard deviation over slices, too."""
    best: Callable[[Sequence[float]], float] | None = None
    """Picks the best mean; None where no value is better than another."""


QUALITY = (
    Quantity("psnr", "PSNR [dB]", 2, True, max),
    Quantity("ssim", "SSIM", 3, True, max),
    Quantity("nmse", "NMSE", 4, True, min),
    Quantity("hfen", "HFEN", 3, True, min),
    Quantity("seconds", "time [s]", 1, False),
    Quantity("evaluations", "evaluations", 0, False),
)
UNCERTAINTY = (
    Quantity("within_one_sigma", "error < 1 SD", 2, False),
    Quantity("within_two_sigma", "error < 2 SD", 2, False),
    Quantity("sigma_correlation", "r(error, SD)", 2, False),
)


@dataclass(frozen=True)
class Cell:
    """One formatted number of a table."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """Results of one method."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """Results of all methods with one pattern."""

    title: str
    pattern: str
    """Name of the pattern."""
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Summary:
    """The table of an evaluation."""

    headings: tuple[str, ...]
    sections: tuple[Section, ...]


def summarise(
    records: Sequence[ScoreRecord], patterns: Sequence[Pattern], methods: Sequence[Method]
) -> Summary:
    """Sum up records, a section for each pattern, a row for each method."""
    has_uncertainty = any(record.within_one_sigma is not None for record in records)
    quantities = QUALITY + UNCERTAINTY if has_uncertainty else QUALITY
    sections = []
    for pattern in patterns:
        here = [record for record in records if record.pattern == pattern.name]
        groups = [[r for r in here if r.method == method.name] for method in methods]
        columns = [_column(groups, quantity) for quantity in quantities]
        rows = [
            Row(_label_with_count(method.label, group), cells)
            for method, group, cells in zip(
                methods, groups, zip(*columns, strict=True), strict=True
            )
        ]
        accelerations = [r.acceleration for r in here if r.acceleration is not None]
        if accelerations:
            title = f"{pattern.label} (1 in {np.mean(accelerations):.3g} measured)"
            sections.append(Section(title, pattern.name, tuple(rows)))
    return Summary(tuple(one.heading for one in quantities), tuple(sections))


def mean_std(records: Iterable[object], name: str) -> MeanStd | None:
    """Return mean and deviation of a field, None where no record has it."""
    values = [getattr(record, name) for record in records]
    known = np.array([v for v in values if v is not None and np.isfinite(v)], np.float64)
    if not known.size:
        return None
    return MeanStd(float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else None)


def _column(groups: Sequence[Sequence[ScoreRecord]], quantity: Quantity) -> list[Cell]:
    values = [mean_std(group, quantity.name) for group in groups]
    # A method that failed on hard slices must not be best for that.
    most = max(map(_successes, groups), default=0)
    means = [
        one.mean
        for one, group in zip(values, groups, strict=True)
        if one and _successes(group) == most
    ]
    compared = sum(one is not None for one in values) > 1
    best = quantity.best(means) if quantity.best and compared and means else None
    return [
        Cell(one.text(quantity.digits, quantity.show_std), one.mean == best) if one else Cell("")
        for one in values
    ]


def _successes(group: Sequence[ScoreRecord]) -> int:
    return sum(record.psnr is not None for record in group)


def _label_with_count(label: str, group: Sequence[ScoreRecord]) -> str:
    """Add the numbers of slices to a label where a method failed, or another took its place."""
    good = _successes(group)
    replaced = sum(bool(record.note) for record in group if record.psnr is not None)
    counts = [f"{good} of {len(group)} slices"] if good < len(group) else []
    counts += [f"{replaced} by fallback"] if replaced else []
    return f"{label} ({', '.join(counts)})" if counts else label

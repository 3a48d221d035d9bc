"""Records of an evaluation: a CSV line for each slice and method."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gadget.errors import ConfigError
from gadget.evaluation.experiment import MethodFailure, Result
from gadget.files import write_errors

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Line = TypeVar("Line", bound="DataclassInstance")


@dataclass(frozen=True)
class ScoreRecord:
    """Scores of one method on one undersampled slice: a line of the CSV file."""

    file: str
    slice: int
    pattern: str
    method: str
    acceleration: float | None = None
    """Points of the grid divided by measured points, centre and all."""
    setting: str = ""
    psnr: float | None = None
    """[dB]"""
    ssim: float | None = None
    nmse: float | None = None
    hfen: float | None = None
    seconds: float | None = None
    evaluations: float | None = None
    within_one_sigma: float | None = None
    within_two_sigma: float | None = None
    sigma_correlation: float | None = None
    note: str = ""

    @classmethod
    def of(cls, result: Result | MethodFailure) -> ScoreRecord:
        """Return the record of a result."""
        case, pattern, method = result.case, result.pattern.name, result.method.name
        if isinstance(result, MethodFailure):
            return cls(case.name, case.number, pattern, method, note=result.reason)
        return cls(
            case.name,
            case.number,
            pattern,
            method,
            acceleration=result.mask.size / int(result.mask.sum()),
            setting=result.estimate.setting,
            **asdict(result.scores),
            seconds=result.estimate.seconds,
            evaluations=result.estimate.evaluations,
            **(asdict(result.uncertainty_scores) if result.uncertainty_scores else {}),
            note=result.estimate.note,
        )


@contextmanager
def csv_file(path: Path, record_type: type[Line]) -> Iterator[Callable[[Line], None]]:
    """Give what writes dataclasses of one kind to a CSV file, every line at once.

    A file that is there already stays until the first line comes; no empty one is left.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    with write_errors(path, ConfigError):
        file = path.open("a", newline="")
    with file:
        writer = csv.DictWriter(file, [one.name for one in fields(record_type)])
        begun = False

        def write(row: Line) -> None:
            nonlocal begun
            if not begun:
                file.truncate(0)
                writer.writeheader()
                begun = True
            writer.writerow({name: _cell(value) for name, value in asdict(row).items()})
            file.flush()

        try:
            yield write
        finally:
            if not file.tell():
                path.unlink(missing_ok=True)


def _cell(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value

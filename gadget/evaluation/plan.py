"""Plan and run an evaluation."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from gadget.errors import DataError
from gadget.evaluation.cases import Case, Receiver
from gadget.evaluation.checks.lesions import ACCELERATIONS, LesionRecord, lesion_pairs
from gadget.evaluation.checks.noise import CONTENTS, NoiseRecord, noise_results
from gadget.evaluation.collection import Collection
from gadget.evaluation.experiment import run
from gadget.evaluation.findings import Findings
from gadget.evaluation.methods.method import Method
from gadget.evaluation.phantoms import MATRIX
from gadget.evaluation.records import ScoreRecord, csv_file
from gadget.evaluation.sources import PHANTOM, load_cases
from gadget.mri.sampling.patterns import Pattern

log = logging.getLogger(__name__)

Check = Literal["anatomy", "lesions", "noise"]
CHECKS: tuple[Check, ...] = get_args(Check)
IN_DISTRIBUTION, OUT_OF_DISTRIBUTION = PHANTOM + "head", PHANTOM + "fruit"

Step = Callable[[str], None]
"""Called with the name of every finished step."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Inputs, methods and checks of an evaluation."""

    files: Sequence[str]
    """Inputs, as `find_inputs` returns them; none: only checks, on phantoms."""
    slices: int
    """Of each file."""
    receiver: Receiver
    patterns: Sequence[Pattern]
    methods: Sequence[Method]
    checks: Sequence[Check]
    checked_methods: Sequence[Method]
    """Methods that are checked with lesions and with noise."""

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of phantoms: those of a mask from a file, if there is one."""
        return next((one.matrix for one in self.patterns if one.matrix), MATRIX)

    @property
    def steps(self) -> int:
        """How many times `Step` is called, if every file has as many slices as wanted."""
        cases = len(self.files) * self.slices
        table = len(self.patterns) * len(self.methods)
        checks = {
            "anatomy": table,
            "lesions": max(cases, 1) * len(ACCELERATIONS) * len(self.checked_methods),
            "noise": len(CONTENTS) * len(self.patterns) * len(self.checked_methods),
        }
        return cases * table + sum(checks[check] for check in self.checks)


def run_plan(plan: EvaluationPlan, folder: Path, step: Step) -> Findings:
    """Run an evaluation; every result is written at once to CSV files in `folder`.

    A file or a slice that cannot be used is named in the log and left out. After Ctrl-C or a signal
    that ends the process, the results so far are returned.

    Raises
    ------
    ConfigError
        A file cannot be written, or a method cannot be used.
    DataError
        Not one file can be used, not one image was reconstructed, or no check gave a result.
    """
    findings = Findings(checked_methods=plan.checked_methods)

    def count(now: str) -> None:
        findings.done += 1
        step(now)

    try:
        _run(plan, findings, folder, count)
    except (KeyboardInterrupt, SystemExit) as error:
        findings.stopped = error
    return findings


def _run(plan: EvaluationPlan, findings: Findings, folder: Path, step: Step) -> None:
    if plan.files:
        findings.main = Collection(plan.patterns, plan.methods)
        _compare(plan, findings.main, _cases(plan, findings), folder / "cases.csv", step)
        if not findings.main.shown:
            raise DataError("Not one image was reconstructed; the log says why.")
    if "anatomy" in plan.checks:
        findings.anatomy = Collection(plan.patterns, plan.methods)
        oranges = load_cases(OUT_OF_DISTRIBUTION, 1, plan.receiver, plan.matrix)
        _compare(plan, findings.anatomy, oranges, folder / "anatomy.csv", step)
    if "lesions" in plan.checks:
        _check_lesions(plan, findings, folder / "lesions.csv", step)
    if "noise" in plan.checks:
        _check_noise(plan, findings, folder / "noise.csv", step)
    if findings.empty:
        raise DataError("Not one check came to a result; the log says why.")


def _compare(
    plan: EvaluationPlan, collection: Collection, cases: Iterator[Case], path: Path, step: Step
) -> None:
    with csv_file(path, ScoreRecord) as write:
        for case in cases:
            for result in run(case, plan.patterns, plan.methods, plan.receiver.seed):
                write(collection.add(result))
                step(f"{case.title}: {result.pattern.label}, {result.method.label}")


def _check_lesions(plan: EvaluationPlan, findings: Findings, path: Path, step: Step) -> None:
    cases = (
        _cases(plan, findings)
        if plan.files
        else load_cases(IN_DISTRIBUTION, 1, plan.receiver, plan.matrix)
    )
    with csv_file(path, LesionRecord) as write:
        for number, case in enumerate(cases):
            for pair, records in lesion_pairs(case, plan.checked_methods, plan.receiver.seed):
                for record in records:
                    write(record)
                if number == 0:
                    findings.lesion_pairs.append(pair)
                findings.lesions += records
                step(f"lesions in {case.title}: R = {pair.acceleration:g}, {pair.method.label}")


def _check_noise(plan: EvaluationPlan, findings: Findings, path: Path, step: Step) -> None:
    coils, seed = plan.receiver.coils, plan.receiver.seed
    with csv_file(path, NoiseRecord) as write:
        for result in noise_results(plan.patterns, plan.checked_methods, coils, MATRIX, seed):
            write(result.record)
            findings.noise.append(result)
            step(f"{result.record.content} alone: {result.pattern.label}, {result.method.label}")


def _cases(plan: EvaluationPlan, findings: Findings) -> Iterator[Case]:
    """Yield the slices of every file that can be used, and note the others."""
    found, reason = False, ""
    name_counts = Counter(Path(file).name for file in plan.files)
    for file in plan.files:
        used = False
        try:
            for case in load_cases(file, plan.slices, plan.receiver, plan.matrix):
                found = used = True
                # Folders of people often hold files of the same names.
                yield case if name_counts[Path(file).name] == 1 else replace(case, name=file)
        except DataError as error:
            reason = str(error) if file in str(error) else f"{file}: {error}"
            log.error("Left out%s: %s", " in part" if used else "", reason)
            findings.left_out.add(file)
    if not found:
        raise DataError(f"Not one input can be evaluated. {reason}")

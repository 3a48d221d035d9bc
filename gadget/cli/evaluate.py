"""`score-gadget evaluate`: how good reconstructions are, where the whole scan is known."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from gadget.cli.console import LINE_SECONDS, console, print_error, print_result, results
from gadget.diffusion import DEFAULT_MODEL
from gadget.errors import ConfigError, DataError
from gadget.extras import optional_import
from gadget.files import make_folder
from gadget.text import pluralize

if TYPE_CHECKING:
    from rich.table import Table

    from gadget.evaluation.plan import Check

PATTERNS = ("uniform1d:4:0.08", "random1d:4:0.08", "random1d:8:0.04", "random1d:4")
CHECKED_METHODS = ("sense", "fast")
"""Default methods for the checks with lesions and with noise."""
MAX_TABLE_WIDTH = 240
"""Largest width of the table, also in a narrower terminal [characters]."""

log = logging.getLogger(__name__)


def evaluate(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for report.html, CSV files and images.h5."),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Complete scans: raw data (.h5); images (.nii, .nii.gz, .npy), which are given "
            "simulated coils and noise; folders of them; phantom:head, phantom:fruit.",
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--pattern",
            "-p",
            metavar="KIND:R[:CENTRE]",
            help="uniform1d, random1d, gaussian1d, gaussian2d or poisson2d with its acceleration "
            "and the share of complete lines in the centre; or an .npy file with a mask. "
            f"Repeatable. Default: {' '.join(PATTERNS)}",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME[:STEPS|:WEIGHTS]",
            help="zero-filled, sense, sigpy, bart, fast, paper[:STEPS], ssos[:STEPS], "
            "unet:WEIGHTS, varnet:WEIGHTS. Repeatable. Default: the first five, those of them "
            "that are installed.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            help="anatomy: an orange, not a head; lesions: how much of their contrast is left; "
            "noise: k-space without any object; or all. Repeatable.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name or folder of the prior; auto: by the device.")
    ] = DEFAULT_MODEL,
    slices: Annotated[
        int, typer.Option(min=1, help="Slices of each file, spread over its middle half.")
    ] = 1,
    samples: Annotated[
        int, typer.Option(min=1, max=64, help="Posterior samples of fast; from 2 on, uncertainty.")
    ] = 1,
    coils: Annotated[int, typer.Option(min=1, max=128, help="Simulated coils.")] = 8,
    noise: Annotated[
        float, typer.Option(min=1e-6, max=10, help="Simulated noise, relative to bright tissue.")
    ] = 0.01,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of patterns, noise and samples.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Undersample complete scans, reconstruct them in several ways, and compare with the truth.

    Prints a table, and writes a page with images and plots, report.html, a line for each result,
    cases.csv, and the images that the page shows as numbers, images.h5. BART and sigpy take minutes
    a slice. Ctrl-C and SIGTERM end it with a report of what is finished, exit status 130 and 143;
    it is 1 where inputs were left out.

    Example: score-gadget evaluate scans/ -o out -m sense -m fast

    Example: score-gadget evaluate brain.nii.gz -o out -p poisson2d:8:0.06 --samples 8

    Example: score-gadget evaluate -o out --check all
    """
    if not inputs and not check:
        raise ConfigError("There is nothing to evaluate; give an input, or --check all.")
    with optional_import("Evaluating needs", "evaluate"):
        from gadget.evaluation.cases import Receiver
        from gadget.evaluation.methods.factory import MethodFactory, default_methods
        from gadget.evaluation.plan import EvaluationPlan, run_plan
        from gadget.evaluation.provenance import provenance
        from gadget.evaluation.report.images import write_images
        from gadget.evaluation.report.lead import lead, progress
        from gadget.evaluation.report.page import write_report
        from gadget.evaluation.sources import find_inputs
        from gadget.evaluation.table import table
        from gadget.mri.sampling.patterns import parse_pattern

    factory = MethodFactory(model, device, samples, seed)
    methods = factory.methods(method or default_methods())
    plan = EvaluationPlan(
        files=find_inputs(inputs or []),
        slices=slices,
        receiver=Receiver(coils, noise, seed),
        patterns=[parse_pattern(text) for text in dict.fromkeys(pattern or PATTERNS)],
        methods=methods,
        checks=_checks(check or []),
        checked_methods=methods if method else factory.methods(CHECKED_METHODS),
    )
    make_folder(output)
    started = time.monotonic()
    with _step_progress(plan.steps) as step:
        findings = run_plan(plan, output, step)
    if findings.stopped and findings.empty:
        print_error("Stopped before anything was finished; there is no report.")
        raise findings.stopped
    if findings.stopped:
        print_error(f"Stopped: {progress(plan, findings)}; the report of these follows.")
    if findings.main is not None:
        _print(table(findings.main.summary))
    page = output / "report.html"
    write_report(
        page,
        findings,
        lead=lead(plan, findings),
        command=shlex.join(["score-gadget", *sys.argv[1:]]),
        provenance=provenance(plan, factory.prior, samples, time.monotonic() - started),
    )
    write_images(output / "images.h5", filter(None, (findings.main, findings.anatomy)))
    print_result(f"report: {page}")
    if findings.stopped:
        raise findings.stopped
    if findings.left_out:
        left_out = pluralize(len(findings.left_out), "input")
        raise DataError(f"{left_out} could not be evaluated, or only in part; see above.")


def _print(table: Table) -> None:
    natural = results.measure(table, options=results.options.update(width=MAX_TABLE_WIDTH)).maximum
    Console(highlight=False, width=max(natural, results.width)).print(table)


def _checks(wanted: Sequence[str]) -> list[Check]:
    from gadget.evaluation.plan import CHECKS

    unknown = [name for name in wanted if name not in (*CHECKS, "all")]
    if unknown:
        raise ConfigError(f"'{unknown[0]}' is no check; expected {', '.join(CHECKS)} or all.")
    return [check for check in CHECKS if check in wanted or "all" in wanted]


@contextmanager
def _step_progress(steps: int) -> Iterator[Callable[[str], None]]:
    """Give a function that shows each step: a bar with the time left, or log lines."""
    if not console.is_terminal:
        yield _lines(steps)
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}", markup=False),
    )
    with ProgressBars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=steps, now="")
        yield lambda now: bars.update(task, advance=1, now=now)


def _lines(steps: int) -> Callable[[str], None]:
    started = last = time.monotonic()
    done = 0

    def step(now: str) -> None:
        nonlocal done, last
        done += 1
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            left = (last - started) / done * max(0, steps - done)
            log.info("%d of %d, about %.0f minutes left: %s", done, steps, left / 60, now)

    return step

"""`score-gadget doctor`: what this installation can do, and what it lacks."""

from __future__ import annotations

import typer

from gadget.cli.console import print_error, print_result


def doctor() -> None:
    """Say what is installed, which devices and models there are, and whether Gadgetron finds us.

    Exit status: 0 a raw dataset can be reconstructed here; 1 it cannot, and what to do.

    Example: score-gadget doctor
    """
    from gadget.cli.installation import findings

    problems: list[str] = []
    for finding in findings():
        print_result(f"{finding.name:<12} {finding.text}")
        if finding.advice:
            print_result(f"{'':<12} -> {finding.advice}")
        if finding.problem:
            problems.append(finding.problem)
    for problem in problems:
        print_error(problem)
    if problems:
        raise typer.Exit(1)
    print_result("A raw dataset can be reconstructed here: score-gadget replay RAW.h5 -o OUT.h5")

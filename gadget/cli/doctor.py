"""`score-gadget doctor`: what this installation can do, and what it lacks."""

from __future__ import annotations

import typer

from gadget.cli.console import complain, say


def doctor() -> None:
    """Say what is installed, which devices and models there are, and whether Gadgetron finds us.

    Exit status: 0 a raw dataset can be reconstructed here; 1 it cannot, and what to do.

    Example: score-gadget doctor
    """
    from gadget.cli.installation import findings

    troubles: list[str] = []
    for finding in findings():
        say(f"{finding.name:<12} {finding.text}")
        if finding.advice:
            say(f"{'':<12} -> {finding.advice}")
        if finding.trouble:
            troubles.append(finding.trouble)
    for trouble in troubles:
        complain(trouble)
    if troubles:
        raise typer.Exit(1)
    say("A raw dataset can be reconstructed here: score-gadget replay RAW.h5 -o OUT.h5")

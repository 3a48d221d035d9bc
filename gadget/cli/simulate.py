"""`score-gadget simulate`: a raw dataset to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadget.cli.console import print_result
from gadget.text import pluralize


def simulate(
    output: Annotated[Path, typer.Argument(help="HDF5 file for the raw data.")],
    matrix: Annotated[int, typer.Option(min=32, max=1024, help="Pixels along x and y.")] = 256,
    coils: Annotated[int, typer.Option(min=1, max=128, help="Receive coils.")] = 8,
    slices: Annotated[int, typer.Option(min=1, max=64, help="Slices.")] = 2,
    acceleration: Annotated[
        float, typer.Option(min=1, max=32, help="Lines of the matrix per measured line.")
    ] = 4.0,
    centre_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the lines measured completely.")
    ] = 0.08,
    noise: Annotated[
        float,
        typer.Option(min=1e-6, max=10, help="Noise of a complete scan over the brightest tissue."),
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Seed of head, pattern and noise.")] = 0,
) -> None:
    """Write ISMRMRD raw data of a head phantom, with a noise scan and the truth beside them.

    The scan is a 1D random pattern with twofold readout oversampling. The truth, in the group
    `truth`, is what a complete scan without noise would show.

    Example: score-gadget simulate raw.h5 --coils 16 --acceleration 6
    """
    from gadget.mrd.simulation.simulate import write_simulation
    from gadget.mrd.simulation.simulated_scan import SimulatedScan

    scan = SimulatedScan(matrix, coils, slices, acceleration, centre_fraction, noise, seed)
    write_simulation(output, scan)
    print_result(
        f"{pluralize(slices, 'slice')}, {pluralize(coils, 'coil')}, {matrix} x {matrix}, "
        f"R = {acceleration:g}: {output}"
    )

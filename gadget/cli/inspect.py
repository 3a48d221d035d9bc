"""`score-gadget inspect`: what a file of raw data holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gadget.cli.console import console, print_result, results
from gadget.text import pluralize

if TYPE_CHECKING:
    from gadget.mrd.inspection.facts import EncodingFacts, FileFacts, NoiseFacts, SpaceFacts

HEIGHT = 8
"""Of the picture in the terminal, in lines."""
LABEL = 14
"""Width of the names of facts."""


def inspect(
    file: Annotated[Path, typer.Argument(help="Raw data in HDF5, ISMRMRD or fastMRI.")],
    group: Annotated[
        str | None,
        typer.Option("--in-group", "-g", help="Group of the raw data; default: dataset."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the facts as JSON.")] = False,
    png: Annotated[
        Path | None, typer.Option(help="PNG file for a picture of the measured points.")
    ] = None,
) -> None:
    """Say what a file of raw data holds, what is odd about it, and what a pipeline makes of it.

    The file is read once, block by block. Nothing is said of the patient.

    Example: score-gadget inspect raw.h5
    """
    from gadget.errors import DataError
    from gadget.mrd.inspection.inspect_file import inspect_file
    from gadget.mrd.inspection.picture import draw, save_picture

    with console.status(Text(f"reading {file}")):
        found = inspect_file(file, group)
    if png is not None:
        if not found.masks:
            raise DataError(f"'{file}' gives no image, so there is no picture of its lines.")
        save_picture(next(iter(found.masks.values())), png)
    if as_json:
        results.out(found.facts.model_dump_json(indent=2), highlight=False)
        return
    for line in _lines(found.facts):
        print_result(line)
    for encoding, mask in found.masks.items():
        down = "kz" if mask.shape[0] > 1 else "kx"
        print_result(f"\nmeasured points of encoding {encoding}: ky to the right, {down} down")
        for line in draw(mask, max(1, results.width - 2), HEIGHT):
            print_result(f"|{line}|")


def _lines(facts: FileFacts) -> Iterator[str]:
    yield _fact("file", f"{facts.path}: {facts.format}, '{facts.group}', {_size(facts.file_bytes)}")
    field = f"{facts.field_strength_t:.3g} T" if facts.field_strength_t else None
    frequency = f"{facts.h1_frequency_mhz:.6g} MHz" if facts.h1_frequency_mhz else None
    yield _fact("system", _joined(facts.vendor, facts.model, field, frequency))
    measurement = f"measurement {facts.measurement_id}" if facts.measurement_id else None
    scan = (facts.protocol, facts.series_description, measurement, facts.patient_position)
    yield _fact("scan", _joined(*scan))
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts.kinds.items())
    waveforms = f"; {facts.waveforms} waveforms" if facts.waveforms else ""
    yield _fact("readouts", f"{facts.readouts}: {kinds}{waveforms}")
    yield _fact("noise scan", _noise(facts.noise))
    for encoding in facts.encodings:
        yield f"encoding {encoding.encoding}"
        yield from _encoding(encoding)
    yield "in a pipeline"
    yield from _pipeline(facts)
    if facts.oddities:
        yield "oddities"
        yield from (f"  - {oddity}" for oddity in facts.oddities)


def _encoding(facts: EncodingFacts) -> Iterator[str]:
    yield _fact("  encoded", f"{facts.trajectory}, {_space(facts.encoded)}")
    yield _fact("  image", _space(facts.recon))
    if not facts.samples:
        return
    several = [f"{count} {name}s" for name, count in facts.counters.items() if count > 1]
    yield _fact("  coils", _numbers(facts.coils))
    yield _fact("  counters", ", ".join(several) or "one image")
    echo = f"{facts.echo:.0%} of the echo" if facts.echo < 1 else "whole echo"
    reversed_lines = f", {facts.reversed_readouts} reversed" if facts.reversed_readouts else ""
    over = facts.readout_oversampling
    oversampled = f"oversampled {over:g} times" if over > 1 else "not oversampled"
    yield _fact("  readout", f"{_readout(facts)}, {oversampled}, {echo}{reversed_lines}")
    yield from _sampling(facts)


def _sampling(facts: EncodingFacts) -> Iterator[str]:
    found = facts.sampling
    if found is None:
        return
    fewest, most = found.lines
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    step = " x ".join(str(one) for one in found.step or () if one > 1)
    arranged = f"{found.pattern}, step {step}" if step else found.pattern
    alike = "" if found.alike else ", other ones in each image"
    declared = " x ".join(map(str, facts.declared_acceleration))
    yield _fact("  lines", f"{count} of {found.grid_lines}, {arranged}{alike}")
    yield _fact("  acceleration", f"{found.acceleration:.3g}; the header says {declared}")
    ky, kz = found.centre
    centre = f"{ky} x {kz}" if kz > 1 else str(ky)
    yield _fact(
        "  calibration",
        f"{centre} lines around the centre are complete; {facts.calibration_readouts} readouts "
        f"for it alone, {facts.shared_readouts} shared; mode {facts.calibration_mode or 'unknown'}",
    )
    partial = [
        f"{share:.0%} of {axis}"
        for axis, share in zip(("ky", "kz"), found.partial_fourier, strict=True)
        if share < 1
    ]
    if partial:
        yield _fact("  partial", f"Fourier, {' and '.join(partial)}")


def _pipeline(facts: FileFacts) -> Iterator[str]:
    for series in facts.pipeline.series:
        size = " x ".join(map(str, series.matrix))
        images = pluralize(series.images, "image")
        yield _fact(f"  series {series.series}", f"{images} of {size}")
    if facts.pipeline.images:
        yield _fact("  memory", f"{_size(facts.pipeline.kspace_bytes)} of k-space for an image")
    if facts.pipeline.problem:
        yield _fact("  problem", facts.pipeline.problem)


def _noise(noise: NoiseFacts | None) -> str:
    if noise is None:
        return "none"
    return (
        f"{pluralize(noise.readouts, 'readout')}, {_numbers(noise.coils)} coils, {_readout(noise)}"
    )


def _readout(facts: EncodingFacts | NoiseFacts) -> str:
    dwell = [time for time in facts.dwell_us if time > 0]
    times = f" of {_numbers(dwell)} us" if dwell else ", dwell time unknown"
    return f"{_numbers(facts.samples)} samples{times}"


def _fact(name: str, text: str) -> str:
    return f"{name:<{LABEL}} {text}"


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part) or "unknown"


def _space(space: SpaceFacts) -> str:
    matrix = " x ".join(map(str, space.matrix))
    lengths = " x ".join(f"{length:g}" for length in space.field_of_view_mm)
    return f"{matrix}, {lengths} mm"


def _numbers(values: Sequence[int] | Sequence[float]) -> str:
    return " or ".join(f"{value:g}" for value in values)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"

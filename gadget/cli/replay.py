"""`score-gadget replay`: raw data through a pipeline, without a Gadgetron server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gadget.cli.console import say
from gadget.errors import ConfigError

if TYPE_CHECKING:
    import ismrmrd


def replay(
    file: Annotated[Path, typer.Argument(help="ISMRMRD raw data, HDF5.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file for the images.")],
    config: Annotated[
        str,
        typer.Option("--config", "-c", help="Pipeline: a file, or the name of an installed one."),
    ] = "score_hybrid.xml",
    in_group: Annotated[
        str | None,
        typer.Option("--in-group", "-g", help="Group of the raw data; default: dataset."),
    ] = None,
    out_group: Annotated[
        str, typer.Option("--out-group", "-G", help="Group of the images.")
    ] = "dataset",
    png: Annotated[
        Path | None, typer.Option(help="Folder that the images are written to as PNG, too.")
    ] = None,
) -> None:
    """Reconstruct a file with the nodes of a pipeline, as a Gadgetron server would.

    Images that are finished before an error are kept.
    """
    from gadget.cli.replay_progress import follow
    from gadget.mrd.image_file import ImageWriter
    from gadget.mrd.png import PngWriter
    from gadget.mrd.raw_file import RawFile
    from gadget.mrd.tally import Tally
    from gadget.stream.host import run_pipeline
    from gadget.stream.pipeline import find_pipeline, read_pipeline

    pipeline = read_pipeline(find_pipeline(config))
    if output.exists() and file.exists() and output.samefile(file):
        raise ConfigError(f"'{output}' is the raw data itself; choose another file for the images.")
    pictures = PngWriter(png) if png is not None else None
    started = time.monotonic()
    tally = Tally()
    with (
        RawFile(file, in_group) as raw,
        ImageWriter(output, out_group) as writer,
        follow(tally, raw.number_of_acquisitions) as progress,
    ):

        def take(image: ismrmrd.Image) -> None:
            writer.append(image)
            if pictures is not None:
                pictures.write(image)
            tally.receive(image)
            progress.show_image(image)

        messages = tally.watch(raw.messages())
        run_pipeline(pipeline, raw.header_xml, messages, take, progress.show)
    tally.check()
    seconds = time.monotonic() - started
    say(f"{tally.summary} in {seconds:.1f} s, {seconds / tally.images:.1f} s per slice: {output}")

"""`score-gadget replay` of one file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from gadget.cli.console import print_error, print_result
from gadget.cli.replay_progress import show_progress
from gadget.cohort.exports import open_writers, write_images
from gadget.cohort.recipe import check_models
from gadget.cohort.task import reconstruct
from gadget.errors import ConfigError, DataError
from gadget.mrd.images.counter import ImageCounter
from gadget.mrd.images.writer import ImageWriter
from gadget.mrd.raw.raw_file import RawFile

if TYPE_CHECKING:
    import ismrmrd

    from gadget.cohort.recipe import Recipe


def replay_file(file: Path, output: Path, recipe: Recipe) -> None:
    """Reconstruct a file and print a summary; images that are finished before an error are kept.

    Raises
    ------
    ConfigError
        The file or the model does not exist, or the output cannot be written.
    ReconError
        The reconstruction failed, images are missing, or a format cannot hold one of them.
    """
    if output.exists() and file.exists() and output.samefile(file):
        raise ConfigError(f"'{output}' is the raw data itself; choose another file for the images.")
    check_models(recipe)
    started = time.monotonic()
    counter = ImageCounter()
    problems: list[DataError] = []
    try:
        with (
            RawFile(file, recipe.in_group) as raw,
            open_writers(recipe.exports, raw.header_xml) as exporters,
            ImageWriter(output, recipe.out_group, raw.header_xml) as writer,
            show_progress(counter, raw.number_of_acquisitions) as progress,
        ):

            def take(image: ismrmrd.Image) -> None:
                writer.append(image)
                # An error of a format must not lose the images themselves.
                problems.extend(write_images([image], exporters))
                progress.show_image(image)

            reconstruct(raw, recipe, counter, take, progress.show)
    except (KeyboardInterrupt, SystemExit):
        kept = f". Kept in '{output}': {counter.summary}" if counter.images else " before an image"
        print_error(f"Stopped{kept}.")
        raise
    if problems:
        raise problems[0]
    seconds = time.monotonic() - started
    each = seconds / counter.images
    print_result(f"{counter.summary} in {seconds:.1f} s, {each:.1f} s per image: {output}")

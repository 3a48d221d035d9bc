"""`score-gadget replay`: raw data through a pipeline, from files to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadget.cli.settings import parse_settings
from gadget.errors import ConfigError


def replay(
    files: Annotated[
        list[Path],
        typer.Argument(help="Raw data, HDF5 of ISMRMRD or fastMRI: files, or folders of them."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER/",
            help="HDF5 file for the images; for many files, or with a / at the end, a folder.",
        ),
    ],
    config: Annotated[
        str,
        typer.Option("--config", "-c", help="Pipeline: a file, or the name of an installed one."),
    ] = "score_hybrid.xml",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Setting of a node, instead of what the pipeline says: method=sense. Repeatable.",
        ),
    ] = None,
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
    nifti: Annotated[Path | None, typer.Option(help="The same as NIfTI.")] = None,
    dicom: Annotated[Path | None, typer.Option(help="The same as DICOM.")] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Files at a time, each on a CUDA device of its own if there are several.",
        ),
    ] = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Scheduler of a dask cluster to use: tcp://scheduler:8786."
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Server to reconstruct with: `score-gadget serve`, or a Gadgetron.",
        ),
    ] = None,
) -> None:
    """Reconstruct raw data with the nodes of a pipeline, as a Gadgetron server would.

    One file: images that are finished before an error are kept.

    Many files: each has its own output, <stem>.h5 in the folder, which is there once it is
    complete, or as far as it got where there was none before. An error of one file stops no other.
    The same command again does what is left: files that failed, were interrupted, have changed, or
    were reconstructed in another way.

    Example: score-gadget replay raw.h5 -o out.h5 --png pictures

    Example: score-gadget replay DATA/ -o OUT/ --nifti volumes --jobs 2 --set samples=4
    """
    from gadget.cohort.exports import Export, Format
    from gadget.cohort.recipe import Recipe, prepare_pipeline
    from gadget.stream.wire.address import parse_address

    if server is not None:
        parse_address(server)
    many = len(files) > 1 or files[0].is_dir() or jobs > 1 or dask is not None
    formats: dict[Format, Path | None] = {"png": png, "nifti": nifti, "dicom": dicom}
    recipe = Recipe(
        pipeline=prepare_pipeline(config, parse_settings(settings), server),
        in_group=in_group,
        out_group=out_group,
        server=server,
        exports=tuple(
            Export(name, folder.absolute())
            for name, folder in formats.items()
            if folder is not None
        ),
    )
    if _is_folder(output, needed=many):
        from gadget.cli.replay_cohort import replay_cohort

        replay_cohort(files, Path(output), recipe, jobs, dask)
    else:
        from gadget.cli.replay_file import replay_file

        replay_file(files[0], Path(output), recipe)


def _is_folder(output: str, needed: bool) -> bool:
    """Say whether the output is a folder; raise `ConfigError` if it is not and one is needed."""
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        return True
    if needed and (path.exists() or path.suffix.lower() in (".h5", ".hdf5")):
        raise ConfigError(
            f"'{output}' is a file; the images of many files, and with --jobs or --dask of one, "
            f"need a folder. Write '{output}/' if it is to be one."
        )
    return needed

"""`score-gadget train`: magnitude images in, a model folder out."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from gadget.cli.console import console, print_result
from gadget.cli.signals import handle_signals
from gadget.errors import ConfigError
from gadget.files import make_folder
from gadget.text import pluralize

if TYPE_CHECKING:
    from gadget.training.images import Volume
    from gadget.training.loop import TrainingProgress
    from gadget.training.ranks import Ranks
    from gadget.training.trainer import Trainer

log = logging.getLogger(__name__)

SPEED_SECONDS = 600.0
"""Averaging time of the speed, for the time left [s]."""


def train(
    recipe: Annotated[Path, typer.Argument(help="TOML file, see models/*/training.toml.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of magnitude images: NIfTI, DICOM, fastMRI or ISMRMRD images in HDF5, "
            ".npy. What cannot be used is listed and left out."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for checkpoints, losses, pictures and the model."
        ),
    ],
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images of other people, for the loss by noise level. May lie in DATA: "
            "it is not trained on."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Train a prior; the same command goes on where an interrupted training stopped.

    Ctrl-C, SIGTERM and the end of its terminal save a checkpoint first, and end it with exit status
    130, 143 and 129.

    Example: score-gadget train models/brain-small/training.toml images -o run --validation held-out

    Several GPUs: torchrun --nproc-per-node 4 $(which score-gadget) train ... shares each batch
    among them.
    """
    from gadget.diffusion.devices import select_device
    from gadget.training.config import read_training_config
    from gadget.training.loop import train as run
    from gadget.training.ranks import local_device, process_group
    from gadget.training.trainer import Trainer
    from gadget.training.validation import Validation

    config = read_training_config(recipe)
    _check_folders(data, validation, output, output / config.name)
    own = local_device(select_device(device))
    with process_group(own) as ranks:
        if not ranks.is_main:
            logging.getLogger("gadget").setLevel(logging.ERROR)
        trainer = Trainer(config, own, ranks)
        volumes, held_out = _images(data, validation, output, ranks)
        held = Validation(config, held_out) if held_out else None
        with _progress(config.steps, ranks) as report, _signals() as received:
            run(trainer, volumes, output, report, validation=held, stop=lambda: bool(received))
        if ranks.is_main and trainer.step == config.steps:
            _save(trainer, output)
    if trainer.step < config.steps:
        log.warning("stopped and saved at step %d; the same command goes on", trainer.step)
        raise typer.Exit(128 + received[0] if received else 1)


def _check_folders(data: Path, validation: Path | None, output: Path, model: Path) -> None:
    """Raise `ConfigError` if images, outputs and the model would be in each other's way."""
    if validation is not None and data.resolve().is_relative_to(validation.resolve()):
        raise ConfigError(
            f"The images to train on ('{data}') are those to validate on ('{validation}'); "
            "validate with images of other people."
        )
    for folder in filter(None, (data, validation)):
        if not folder.is_dir():
            raise ConfigError(
                f"The images are looked for in a folder, and '{folder}' is not one; give the "
                "folder that they are in."
            )
        if folder.resolve() == output.resolve():
            raise ConfigError(
                f"The output folder ('{output}') is that of the images ('{folder}'), and what is "
                "in it is not read; choose another output folder."
            )
    if model.exists() and not model.is_dir():
        raise ConfigError(
            f"The model becomes the folder '{model}', and there is a file of that name; move it, "
            "or choose another output folder or another `name` in the recipe."
        )


def _images(
    data: Path, validation: Path | None, output: Path, ranks: Ranks
) -> tuple[list[Volume], list[Volume]]:
    """Return the images to train on and those to validate on; the first process packs them."""
    from gadget.training.copies import warn_of_copies
    from gadget.training.pack import packed_volumes

    make_folder(output)
    if not ranks.is_main:
        ranks.barrier()
    excluded = [output] if validation is None else [output, validation]
    volumes = packed_volumes(data, output / "training.f16", excluded)
    slices = pluralize(sum(map(len, volumes)), "slice")
    log.info("%s, %s to train on", pluralize(len(volumes), "volume"), slices)
    held_out: list[Volume] = []
    if validation is not None:
        held_out = packed_volumes(validation, output / "validation.f16", [output])
        log.info("%s to validate on", pluralize(len(held_out), "volume"))
    if ranks.is_main:
        warn_of_copies(held_out, volumes)
        ranks.barrier()
    return volumes, held_out


def _save(trainer: Trainer, output: Path) -> None:
    from gadget.diffusion.model_folder import ModelConfig, save_model

    config = trainer.config
    model = ModelConfig(
        name=config.name,
        network=config.network,
        sigma_data=config.sigma_data,
        sigma_min=config.sigma_min,
        sigma_max=config.sigma_max,
        training_steps=trainer.step,
    )
    save_model(output / config.name, model, trainer.average)
    print_result(f"{config.name}, {trainer.step} steps: {output / config.name}")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP; a second one of the first two has its default effect."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}

    def take(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # At the end of a terminal, shell and kernel both send a SIGHUP.
        signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else before[number])

    handle_signals(take, *numbers)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(steps: int, ranks: Ranks) -> Iterator[Callable[[TrainingProgress], None]]:
    """Give a function that shows the progress: a bar with the time left, or log lines."""
    if not ranks.is_main:
        yield lambda now: None
    elif not console.is_terminal:
        yield _log_progress
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with ProgressBars(*columns, console=console, speed_estimate_period=SPEED_SECONDS) as bars:
            task = bars.add_task("training", total=steps)
            yield lambda now: bars.update(task, completed=now.step, description=_words(now))


def _log_progress(now: TrainingProgress) -> None:
    if now.loss is not None:
        log.info("step %d of %d, %s", now.step, now.steps, _words(now))


def _words(now: TrainingProgress) -> str:
    return "training" if now.loss is None else f"loss {now.loss:.4f}"

"""`score-gadget train`: magnitude images in, a model folder out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from gadget.cli.console import console, say
from gadget.errors import ConfigError

if TYPE_CHECKING:
    from gadget.training.loop import Progress

log = logging.getLogger(__name__)


def train(
    recipe: Annotated[Path, typer.Argument(help="TOML file, see models/*/training.toml.")],
    data: Annotated[Path, typer.Argument(help="Folder of NIfTI or NumPy magnitude images.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for checkpoints and the model.")
    ],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
) -> None:
    """Train a prior; the same command goes on where an interrupted training stopped."""
    from gadget.diffusion.model_folder import ModelConfig, save_model
    from gadget.diffusion.reconstruct import select_device
    from gadget.training.config import read_training_config
    from gadget.training.images import load_volumes
    from gadget.training.loop import Trainer
    from gadget.training.loop import train as run

    config = read_training_config(recipe)
    trainer = Trainer(config, select_device(device))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder '{output}' cannot be made: {error.strerror}.") from error
    volumes = load_volumes(data)
    log.info("%d volumes, %d slices", len(volumes), sum(len(volume) for volume in volumes))
    with _reporting(config.steps) as report:
        run(trainer, volumes, output, report)
    model = ModelConfig(
        name=config.name,
        network=config.network,
        sigma_data=config.sigma_data,
        sigma_min=config.sigma_min,
        sigma_max=config.sigma_max,
        training_steps=trainer.step,
    )
    save_model(output / config.name, model, trainer.average)
    say(f"{config.name}, {trainer.step} steps: {output / config.name}")


@contextmanager
def _reporting(steps: int) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows the progress: a bar with the time left, or log lines."""
    if not console.is_terminal:
        yield lambda now: log.info("step %d of %d, loss %.4f", now.step, now.steps, now.loss)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("training", total=steps)
        yield lambda now: bars.update(task, completed=now.step, description=f"loss {now.loss:.4f}")

"""`score-gadget model`: which priors there are, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadget.cli.console import say
from gadget.errors import WeightsError

app = typer.Typer(help="Show and check models.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name or folder of a model.")]


@app.command("list")
def list_models() -> None:
    """List the models that a name reaches; SCORE_GADGET_MODELS adds folders to look in."""
    from gadget.diffusion.model_folder import available_models

    for folder in available_models():
        say(f"{folder.name:<20} {folder}")


@app.command()
def show(name: Name) -> None:
    """Print the configuration of a model."""
    from gadget.diffusion.model_folder import find_model, read_config

    folder = find_model(name)
    say(str(folder))
    say(read_config(folder).model_dump_json(indent=2))


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or folders; default: all models.")
    ] = None,
) -> None:
    """Check that weights are whole and fit their network."""
    import torch

    from gadget.diffusion.model_folder import available_models, load_prior

    chosen = names or [str(folder) for folder in available_models()]
    if not chosen:
        raise WeightsError("There is no model to verify; set SCORE_GADGET_MODELS to its folder.")
    for name in chosen:
        prior = load_prior(name, torch.device("cpu"))
        say(f"{prior.name} is whole: sha256 {prior.sha256}")


@app.command("import")
def import_model(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint_95.pth or the like.")],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for models; default: here.")
    ] = None,
    input_scale: Annotated[
        float, typer.Option(help="Brightness of bright tissue in the images it was trained on.")
    ] = 0.7,
) -> None:
    """Turn a published score-MRI checkpoint into a model folder, with its averaged weights.

    Example: score-gadget model import checkpoint_95.pth --name fastmri-knee
    """
    import torch

    from gadget.diffusion.checkpoints import SIGMA_MAX, SIGMA_MIN, read_score_mri
    from gadget.diffusion.model_folder import ModelConfig, save_model

    network, weights, steps = read_score_mri(checkpoint)
    config = ModelConfig(
        name=name,
        network=network,
        input_scale=input_scale,
        sigma_min=SIGMA_MIN / input_scale,
        sigma_max=SIGMA_MAX / input_scale,
        training_steps=steps,
    )
    folder = (output or Path()) / name
    weights = {f"network.{key}": value for key, value in weights.items()}
    save_model(folder, config, weights, torch.float32)
    say(f"{name}, {network.blocks} blocks of {network.widths} channels: {folder}")

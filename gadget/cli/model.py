"""`score-gadget model`: which priors there are, and whether they are whole."""

from __future__ import annotations

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

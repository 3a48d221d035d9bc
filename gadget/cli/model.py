"""`score-gadget model`: which priors there are, whether they are whole, and those of others."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gadget.cli.console import print_error, print_result
from gadget.diffusion import DEFAULT_MODEL
from gadget.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from gadget.diffusion.model_folder import ModelConfig

log = logging.getLogger(__name__)

MAX_NAME_BYTES = 200
"""Of a model's name: file systems take 255, with what is put before and behind it."""

app = typer.Typer(
    help="Show, check and import models.\n\nExample: score-gadget model list",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name or folder of a model.")]


@app.command("list")
def list_models() -> None:
    """List the models that a name reaches; SCORE_GADGET_MODELS adds folders to look in.

    Example: score-gadget model list
    """
    from gadget.diffusion.installed_models import available_models

    for folder in available_models():
        print_result(f"{folder.name:<20} {folder}")


@app.command()
def show(name: Name) -> None:
    """Describe a model: its network, the noise levels and the training behind it.

    Example: score-gadget model show brain-small
    """
    from gadget.diffusion.installed_models import find_model
    from gadget.diffusion.model_folder import read_config, read_weights

    folder = find_model(name)
    config = read_config(folder)
    parameters = sum(value.numel() for value in read_weights(folder, config).values())
    for title, text in _description(config, folder, parameters).items():
        print_result(f"{title:<14} {text}")


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or folders; default: all models.")
    ] = None,
) -> None:
    """Check that weights are whole and fit their network; all models are checked.

    Example: score-gadget model verify brain-small
    """
    import torch

    from gadget.diffusion.installed_models import available_models
    from gadget.diffusion.model_loading import load_prior

    chosen = names or [folder.name for folder in available_models()]
    if not chosen:
        raise ConfigError("There is no model to verify; set SCORE_GADGET_MODELS to its folder.")
    status = 0
    for name in chosen:
        try:
            prior = load_prior(name, torch.device("cpu"))
        except (ConfigError, WeightsError) as error:
            print_error(str(error))
            status = max(status, 2 if isinstance(error, ConfigError) else 1)
        else:
            # Images carry the name in the config, which is another one where a folder was renamed.
            other = prior.name != Path(name).absolute().name
            called = f"; images will call it {prior.name}, as its config.json does" if other else ""
            print_result(f"{name} is whole: sha256 {prior.sha256}{called}")
    if status:
        raise typer.Exit(status)


@app.command("import")
def import_model(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint_95.pth or the like.")],
    name: Annotated[str, typer.Option(help="Name of the model.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for models; default: here.")
    ] = None,
    input_scale: Annotated[
        float,
        typer.Option(
            min=1e-6, max=1e6, help="Brightness of bright tissue in the images it was trained on."
        ),
    ] = 0.7,
) -> None:
    """Turn a published checkpoint of score-MRI or DDS into a model folder.

    Example: score-gadget model import checkpoint_95.pth --name fastmri-knee
    """
    import torch

    from gadget.diffusion.model_folder import ModelConfig, save_model
    from gadget.diffusion.published.card import model_card, taken_for_granted
    from gadget.diffusion.published.checkpoint import read_published

    folder = _new_folder(output or Path(), name)
    if not checkpoint.exists():
        raise ConfigError(
            f"The checkpoint '{checkpoint}' does not exist; expected a file of published weights, "
            "such as checkpoint_95.pth."
        )
    published = read_published(checkpoint)
    config = ModelConfig(
        name=name,
        network=published.network,
        input_scale=input_scale,
        sigma_min=published.sigma_min / input_scale,
        sigma_max=published.sigma_max / input_scale,
        training_steps=published.steps,
    )
    weights = {f"network.{key}": value for key, value in published.weights.items()}
    card = model_card(config, published, checkpoint)
    save_model(folder, config, weights, torch.float32, card)
    network = published.network
    print_result(f"{name}, {network.blocks} blocks of {network.widths} channels: {folder}")
    print_result(f"taken for granted, as weights do not tell: {taken_for_granted(published)}")


def _new_folder(place: Path, name: str) -> Path:
    """Return the folder of a new model; raise `ConfigError` if the name is none, or is taken."""
    from gadget.diffusion.installed_models import CONFIG, available_models
    from gadget.diffusion.model_folder import WEIGHTS

    if name in ("", ".", "..", DEFAULT_MODEL) or "/" in name or not name.isprintable():
        raise ConfigError(
            f"{name!r} is no name of a model: expected one such as fastmri-knee, without a slash "
            "and without control characters. --output chooses the folder that it is put into."
        )
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        raise ConfigError(
            f"The name of the model has {len(os.fsencode(name))} bytes; expected at most "
            f"{MAX_NAME_BYTES}."
        )
    folder = place / name
    for other in available_models():
        if other.name == name and other.resolve() != folder.resolve():
            raise ConfigError(
                f"There is an installed model '{name}' in {other}, which that name would mean; "
                "choose another --name."
            )
    if any((folder / file).exists() for file in (CONFIG, WEIGHTS)):
        raise ConfigError(
            f"There is a model in '{folder}' already, and it is not replaced; choose another "
            "--name or --output, or remove that folder first."
        )
    return folder


def _description(config: ModelConfig, folder: Path, parameters: int) -> dict[str, str]:
    from gadget.diffusion.model_folder import CARD

    network = config.network
    card = folder / CARD
    kinds = {"unet": "U-Net", "ncsnpp": "NCSN++", "adm": "ADM"}
    images = "real images" if network.channels == 1 else "real and imaginary part"
    return {
        "name": config.name,
        "folder": str(folder),
        "network": f"{kinds[network.kind]} on {images}, {parameters / 1e6:.1f} million parameters",
        "widths": f"{', '.join(map(str, network.widths))}; {network.blocks} blocks each",
        "noise levels": f"{config.sigma_min:g} to {config.sigma_max:g} of bright tissue",
        "training": f"{config.training_steps} steps" if config.training_steps else "not known",
        "sha256": config.sha256,
        "model card": str(card) if card.is_file() else "none",
    }

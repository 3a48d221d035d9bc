"""Models on disk: a folder with `model.safetensors`, `config.json` and a model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from gadget.diffusion.denoisers import NoiseDenoiser, PreconditionedDenoiser, ScoreDenoiser
from gadget.diffusion.installed_models import CONFIG
from gadget.diffusion.networks.adm import Adm, AdmConfig
from gadget.diffusion.networks.ncsnpp import NCSNpp, NCSNppConfig
from gadget.diffusion.networks.unet import UNet, UNetConfig
from gadget.diffusion.schedule import check_range
from gadget.errors import ConfigError, WeightsError, invalid_values, reason
from gadget.files import atomic_write, write_errors

WEIGHTS = "model.safetensors"
CARD = "README.md"


class ModelConfig(BaseModel):
    """What `config.json` says about a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: int = Field(1, ge=1, le=1)
    name: str = Field(pattern=r"^[^/\x00-\x1f\x7f-\x9f]+$")
    """Images carry it in XML, which has no place for control characters."""
    network: UNetConfig | NCSNppConfig | AdmConfig = Field(discriminator="kind")
    sigma_data: float = Field(0.25, gt=0)
    """U-Net: standard deviation of the real and of the imaginary part of training images."""
    input_scale: float = Field(1.0, gt=0)
    """Published networks: brightness in the network's units of what is 1 to a sampler."""
    sigma_min: float = Field(gt=0)
    sigma_max: float = Field(gt=0)
    """Trained noise levels, in units of the image scale (bright tissue is near 1)."""
    training_steps: int = Field(ge=0)
    sha256: str = Field("0" * 64, pattern="^[0-9a-f]{64}$")
    """Checksum of the weights file."""

    @model_validator(mode="after")
    def _check_noise_levels(self) -> ModelConfig:
        check_range(self.sigma_min, self.sigma_max)
        return self


def read_config(folder: Path) -> ModelConfig:
    """Read and check a model's `config.json`.

    Raises
    ------
    WeightsError
        It is missing, no JSON, or holds an unknown key, network or an impossible value.
    """
    path = folder / CONFIG
    try:
        return ModelConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"The model config {path} cannot be read: {reason(error)}.") from error
    except ValidationError as error:
        wrong = invalid_values(error, ModelConfig, "Key")
        raise WeightsError(f"{path} is not a usable model config. {wrong}") from error


def save_model(
    folder: Path,
    config: ModelConfig,
    weights: dict[str, Tensor],
    precision: torch.dtype = torch.float16,
    card: str | None = None,
) -> None:
    """Write weights and the config that belongs to them; its sha256 is filled in.

    A model card that is there already stays.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    # Not with `save_file`, whose files nobody but their owner may read.
    content = save({k: v.to(precision).contiguous().cpu() for k, v in weights.items()})
    checked = config.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    with write_errors(folder, ConfigError):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / WEIGHTS) as weights_file:
            weights_file.write_bytes(content)
        if card is not None and not (folder / CARD).exists():
            with atomic_write(folder / CARD) as card_file:
                card_file.write_text(card, "utf-8")
        # Last: with it, the folder is a model.
        with atomic_write(folder / CONFIG) as config_file:
            config_file.write_text(json.dumps(checked.model_dump(), indent=2) + "\n")


def read_weights(folder: Path, config: ModelConfig) -> dict[str, Tensor]:
    """Read a model's weights in single precision.

    Raises
    ------
    WeightsError
        The file is missing or damaged, is not the one that `config` names, or does not fit its
        network.
    """
    path = folder / WEIGHTS
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != config.sha256:
            raise WeightsError(
                f"{path} is not the file that its config.json names: expected sha256 "
                f"{config.sha256}, got {found}. It is truncated or was replaced; install the "
                "model again."
            )
        weights = {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The weights {path} cannot be read: {reason(error)}.") from error
    try:
        with torch.device("meta"):  # there may be no memory for a network that does not fit
            expected = denoiser_of(config).state_dict()
    except ValueError as error:
        raise WeightsError(f"{folder / CONFIG} describes no possible network: {error}.") from error
    wrong = state_dict_mismatch(weights, expected)
    if wrong:
        raise WeightsError(f"{path} does not fit its config.json: {wrong}.")
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise WeightsError(
            f"{path} holds weights that are not finite: its training diverged. Use another model."
        )
    return weights


def denoiser_of(config: ModelConfig) -> PreconditionedDenoiser | ScoreDenoiser | NoiseDenoiser:
    """Return the denoiser that a config describes, with weights of no meaning yet."""
    network = config.network
    if isinstance(network, UNetConfig):
        return PreconditionedDenoiser(UNet(network), config.sigma_data)
    if isinstance(network, NCSNppConfig):
        return ScoreDenoiser(NCSNpp(network), config.input_scale)
    return NoiseDenoiser(Adm(network), network.sigmas, config.input_scale)


def state_dict_mismatch(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return how weights differ from a network's state dict in names and shapes; "" if they fit."""
    wrong = [
        *(f"{name} is missing" for name in expected if name not in weights),
        *(f"{name} has no place in the network" for name in weights if name not in expected),
        *(
            f"{name} has the shape {list(weights[name].shape)}, expected {list(value.shape)}"
            for name, value in expected.items()
            if name in weights and weights[name].shape != value.shape
        ),
    ]
    return wrong[0] + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "") if wrong else ""

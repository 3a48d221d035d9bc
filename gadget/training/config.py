"""The recipe of a training, read from a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gadget.diffusion.networks.unet import UNetConfig
from gadget.diffusion.schedule import check_range
from gadget.errors import ConfigError, invalid_values, reason

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


OUTPUTS = frozenset(
    {
        *("checkpoint.pt", "checkpoint.previous.pt", "checkpoint.partial"),
        *("losses.csv", "losses.png", "samples.png", "denoised.png", "tensorboard"),
        *("training.f16", "training.json", "training.partial"),
        *("validation.f16", "validation.json", "validation.partial"),
    }
)
"""Names that a training itself writes in the output folder, beside the folder of the model."""


class TrainingConfig(BaseModel):
    """All settings that determine a training, apart from the images."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Name of the model and its folder."""
    network: UNetConfig = UNetConfig()
    """Architecture of the denoiser: `widths`, `blocks`, `patch`, `embedding`."""
    initial: str | None = None
    """Name or folder of a model of the same network to begin from: a prior for other images
    needs far fewer updates that way."""
    seed: int = Field(0, ge=-(2**63), lt=2**64)
    """Seed of the first weights and of all that is drawn: images, patches, noise."""
    steps: int = Field(ge=1)
    """Updates of the weights."""
    batch: int = Field(8, ge=1)
    """Patches of an update, of all GPUs together."""
    patch: int = Field(96, ge=16, le=2**15)
    """Edge of the square training patches [pixels]."""
    learning_rate: float = Field(5e-4, gt=0)
    """Step length of Adam between warm-up and cool-down."""
    warmup: int = Field(200, ge=1)
    """Updates over which the learning rate rises."""
    cooldown: float = Field(0.3, ge=0, le=1)
    """Share of the updates over which the learning rate falls to 0 at the end."""
    ema_share: float = Field(0.03, gt=0, lt=1)
    """Length of the weights' moving average as a share of the updates made so far."""
    sigma_min: float = Field(0.002, gt=0)
    """Lowest noise level, in units of the image scale: bright tissue is near 1."""
    sigma_max: float = Field(10.0, gt=0)
    """Highest noise level, in the same units."""
    log_sigma_mean: float = -2.3
    """Mean of ln(sigma), which is normal and clipped to the range of noise levels."""
    log_sigma_std: float = Field(1.5, gt=0)
    """Standard deviation of ln(sigma)."""
    sigma_data: float = Field(0.25, gt=0)
    """Standard deviation of the real and of the imaginary part of training images."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Number format of the network's layers, float32 where the device has no bfloat16; weights and
    loss are always float32."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name in OUTPUTS:
            raise ValueError(
                "the model becomes a folder of that name in the output folder, where a training "
                "writes something else of the same name; choose another"
            )
        return name

    @model_validator(mode="after")
    def _check_patch(self) -> TrainingConfig:
        multiple = self.network.size_multiple
        if self.patch % multiple:
            raise ValueError(
                f"patch must be a multiple of {multiple}, which the network's levels halve it to, "
                f"got {self.patch}"
            )
        return self

    @model_validator(mode="after")
    def _check_noise_levels(self) -> TrainingConfig:
        check_range(self.sigma_min, self.sigma_max)
        return self


def read_training_config(path: Path) -> TrainingConfig:
    """Read a recipe.

    Raises
    ------
    ConfigError
        The file is missing, is not TOML, or holds an unknown key or an impossible value.
    """
    try:
        return TrainingConfig.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"The training recipe {path} cannot be read: {reason(error)}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The training recipe {path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        wrong = invalid_values(error, TrainingConfig, "Key")
        raise ConfigError(f"The training recipe {path} is not usable. {wrong}") from error

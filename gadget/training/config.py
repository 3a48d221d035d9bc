"""The recipe of a training, read from a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gadget.diffusion.networks.unet import UNetConfig
from gadget.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class TrainingConfig(BaseModel):
    """Everything that decides the outcome of a training, but for the images themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Name of the model; its folder is called so."""
    network: UNetConfig = UNetConfig()
    initial: str | None = None
    """Name or folder of a model of the same network to begin from: a prior for other images
    needs far fewer updates that way."""
    seed: int = 0
    steps: int = Field(ge=1)
    """Updates of the weights."""
    batch: int = Field(8, ge=1)
    patch: int = Field(96, ge=16)
    """Edge of the square training patches [pixels]."""
    learning_rate: float = Field(5e-4, gt=0)
    warmup: int = Field(200, ge=1)
    """Updates over which the learning rate rises."""
    cooldown: float = Field(0.3, ge=0, le=1)
    """Share of the updates over which the learning rate falls to 0 at the end."""
    ema_share: float = Field(0.03, gt=0, lt=1)
    """Length of the weights' moving average as a share of the updates made so far."""
    sigma_min: float = Field(0.002, gt=0)
    sigma_max: float = Field(10.0, gt=0)
    """Range of noise levels, in units of the image scale."""
    log_sigma_mean: float = -2.3
    log_sigma_std: float = Field(1.5, gt=0)
    """Training noise levels: ln(sigma) is normal with these, clipped to the range."""
    sigma_data: float = Field(0.25, gt=0)
    """Standard deviation of the real and of the imaginary part of training images."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"


def read_training_config(path: Path) -> TrainingConfig:
    """Read a recipe.

    Raises
    ------
    ConfigError
        The file is missing, is not TOML, or holds an unknown key or an impossible value.
    """
    try:
        return TrainingConfig.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(
            f"The training recipe {path} cannot be read: {error.strerror}."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The training recipe {path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})"
            for e in error.errors()
        )
        raise ConfigError(f"The training recipe {path} is not usable: {problems}.") from error

"""Denoising score matching, resumable at any moment."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gadget.diffusion.model_folder import find_model, read_config, read_weights
from gadget.diffusion.networks.unet import UNet
from gadget.diffusion.prior import PreconditionedDenoiser
from gadget.errors import ConfigError, DataError
from gadget.training.augment import PatchSampler
from gadget.training.config import TrainingConfig
from gadget.training.images import Volume

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 45.0
"""A kill loses at most this much work."""
GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Progress:
    """Where a training stands."""

    step: int
    steps: int
    loss: float
    """Mean weighted loss since the last report; 1 is the loss of the trivial denoiser."""


class Trainer:
    """Weights, their moving average and the optimiser, in one resumable whole."""

    def __init__(self, config: TrainingConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.step = 0
        torch.manual_seed(config.seed)
        self.denoiser = PreconditionedDenoiser(UNet(config.network), config.sigma_data)
        if config.initial is not None:
            self.denoiser.load_state_dict(initial_weights(config, config.initial))
        self.denoiser.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: v.clone() for k, v in self.denoiser.state_dict().items()}
        self.optimizer = torch.optim.Adam(
            self.denoiser.parameters(), lr=config.learning_rate, betas=(0.9, 0.99)
        )

    def update(self, sampler: PatchSampler) -> Tensor:
        """Make one step on a fresh batch; return its weighted loss."""
        config = self.config
        clean, generator = sampler.batch(config.batch, self.step)
        sigma = draw_sigma(config, len(clean), generator)
        noise = torch.randn(clean.shape, generator=generator) * sigma[:, None, None, None]
        clean, noise, sigma = (t.to(self.device) for t in (clean, noise, sigma))
        noisy = (clean + noise).to(memory_format=torch.channels_last)
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
        ):
            denoised = self.denoiser(noisy, sigma)
        loss = weighted_loss(denoised, clean, sigma, config.sigma_data).mean()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.step += 1
        self._follow()
        return loss.detach()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights, over a fixed share of the training so far."""
        decay = 1 - 1 / max(1.0, self.config.ema_share * self.step)
        for name, value in self.denoiser.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a kill in the middle leaves the old one."""
        state = {
            "config": self.config.model_dump_json(),
            "step": self.step,
            "weights": self.denoiser.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same recipe.

        Raises
        ------
        ConfigError
            The checkpoint was made by another recipe.
        """
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        made_by = TrainingConfig.model_validate_json(state["config"])
        # More or fewer steps are the same recipe: that is how a training is prolonged.
        changed = [k for k, v in made_by if k != "steps" and getattr(self.config, k) != v]
        if changed:
            raise ConfigError(
                f"{path} was made by another recipe (different: {', '.join(changed)}); "
                "restore the recipe or train into another folder."
            )
        self.step = state["step"]
        self.denoiser.load_state_dict(state["weights"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])


def train(
    trainer: Trainer,
    volumes: Sequence[Volume],
    folder: Path,
    report: Callable[[Progress], None],
) -> None:
    """Train until the recipe's last step, with checkpoints in `folder`.

    Raises
    ------
    DataError
        The loss is no longer a number.
    """
    config = trainer.config
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
        log.info("going on from step %d of %d", trainer.step, config.steps)
    sampler = PatchSampler(volumes, config.patch, config.seed)
    saved = time.monotonic()
    losses: list[Tensor] = []
    while trainer.step < config.steps:
        losses.append(trainer.update(sampler))
        last = trainer.step == config.steps
        if last or trainer.step % 50 == 0:
            loss = float(torch.stack(losses).mean())
            losses.clear()
            if not math.isfinite(loss):
                raise DataError(
                    f"The loss is {loss} at step {trainer.step}: lower the learning rate "
                    f"({config.learning_rate}) and go on from the last checkpoint."
                )
            report(Progress(trainer.step, config.steps, loss))
        if last or time.monotonic() - saved > CHECKPOINT_SECONDS:
            trainer.save(checkpoint)
            saved = time.monotonic()


def initial_weights(config: TrainingConfig, name: str) -> dict[str, Tensor]:
    """Return the weights of the model that a training begins from.

    Raises
    ------
    WeightsError
        There is no such model, or its weights are damaged.
    ConfigError
        Its network is not the recipe's.
    """
    folder = find_model(name)
    model = read_config(folder)
    if (model.network, model.sigma_data) != (config.network, config.sigma_data):
        raise ConfigError(
            f"The training cannot begin from '{name}': expected a model of the recipe's network "
            f"({config.network!r}, sigma_data {config.sigma_data}), got {model.network!r}, "
            f"sigma_data {model.sigma_data}. Copy these to the recipe, or remove `initial`."
        )
    return read_weights(folder, model)


def draw_sigma(config: TrainingConfig, size: int, generator: torch.Generator) -> Tensor:
    """Draw noise levels `[batch]`, log-normal within the recipe's range."""
    log_sigma = config.log_sigma_mean + config.log_sigma_std * torch.randn(
        size, generator=generator
    )
    return log_sigma.exp().clamp(config.sigma_min, config.sigma_max)


def weighted_loss(denoised: Tensor, clean: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """Squared error `[batch]`, weighted so that every noise level counts the same.

    Karras et al. 2022, table 1: lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2.
    """
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    return weight * (denoised - clean).square().mean(dim=(1, 2, 3))


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Rise over the warm-up, stay, fall linearly over the cool-down."""
    rise = min(1.0, (step + 1) / config.warmup)
    left = (config.steps - step) / max(1.0, config.cooldown * config.steps)
    return config.learning_rate * rise * min(1.0, left)

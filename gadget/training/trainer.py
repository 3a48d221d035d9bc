"""Denoising score matching: updates of weights and moving average, resumable at any step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.func import functional_call

from gadget.diffusion.denoisers import PreconditionedDenoiser
from gadget.diffusion.devices import explain_out_of_memory, supports_bfloat16
from gadget.diffusion.installed_models import find_model
from gadget.diffusion.model_folder import read_config, read_weights, state_dict_mismatch
from gadget.diffusion.networks.unet import UNet, UNetConfig
from gadget.errors import ConfigError
from gadget.mri.operators.cuda_graphs import GraphedFunction
from gadget.training.checkpoints import State
from gadget.training.config import TrainingConfig
from gadget.training.examples import Example
from gadget.training.ranks import Ranks

GRADIENT_NORM = 1.0
EAGER_UPDATES = 3
"""Updates before one is recorded as a CUDA graph: the first ones allocate the optimiser's state."""


class Trainer:
    """Weights, their moving average and the optimiser, with a resumable state.

    Parameters
    ----------
    config
        The recipe.
    device
        Where to compute.
    ranks
        The processes that train together; each sees its share of every batch.

    Raises
    ------
    ConfigError
        The batch cannot be shared by the processes, or the model to begin from is another network.
    DeviceMemoryError
        The device's memory is too small for the network.
    """

    def __init__(
        self, config: TrainingConfig, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        self.config = config
        self.device = device
        self.ranks = ranks or Ranks()
        self.step = 0
        self.rollbacks = 0
        """How often the training was rolled back; each time with other patches."""
        if config.batch % self.ranks.size:
            raise ConfigError(
                f"A batch of {config.batch} cannot be shared by {self.ranks.size} processes; "
                "choose a number of processes that divides it."
            )
        if device.type == "cuda":
            # The same recipe gives the same weights, for a few percent of the time.
            torch.backends.cudnn.deterministic = True
        torch.manual_seed(config.seed)
        with explain_out_of_memory(
            f"The memory of {device} is too small for the network of the recipe (widths "
            f"{list(config.network.widths)}, {config.network.blocks} blocks each): lower `widths`."
        ):
            self.denoiser = PreconditionedDenoiser(UNet(config.network), config.sigma_data)
            if config.initial is not None:
                self.denoiser.load_state_dict(initial_weights(config, config.initial))
            self.denoiser.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.average = {k: v.clone() for k, v in self.denoiser.state_dict().items()}
        self.optimizer = torch.optim.Adam(
            self.denoiser.parameters(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            **self._adam_options,
        )
        self._model = self.ranks.data_parallel(self.denoiser)
        self._rates = torch.zeros(2, device=device)
        """Learning rate, and rate of the moving average."""
        self._half_precision = config.precision == "bfloat16" and supports_bfloat16(device)
        self._update_step = self._make_update_step()

    def update(self, batch: Example) -> Tensor:
        """Make one step; return the weighted loss of this process's share of the batch."""
        rate = learning_rate(self.config, self.step)
        self.step += 1
        average_rate = min(1.0, 1 / (self.config.ema_share * self.step))
        self._rates.copy_(torch.tensor([rate, average_rate]), non_blocking=True)
        return self._update_step(*batch.to(self.device))

    @property
    def _adam_options(self) -> dict[str, bool]:
        """Options of Adam, and of its parameter groups, that a CUDA graph needs."""
        on_gpu = self.device.type == "cuda"
        return {"capturable": on_gpu, "fused": on_gpu}

    def _make_update_step(self) -> Callable[..., Tensor]:
        """Return `_update`, as a CUDA graph where possible: a GPU waits for Python otherwise."""
        return (
            GraphedFunction(self._update, EAGER_UPDATES) if self.ranks.size == 1 else self._update
        )

    def _update(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        config = self.config
        noisy = (clean + sigma[:, None, None, None] * noise).to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half_precision):
            denoised = self._model(noisy, sigma)
        loss = weighted_loss(denoised, clean, sigma, config.sigma_data).mean()
        for group in self.optimizer.param_groups:
            group["lr"] = self._rates[0]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.denoiser.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self._update_average()
        return loss.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        """Update the moving average, whose length is a fixed share of the training so far."""
        for name, value in self.denoiser.state_dict().items():
            self.average[name].lerp_(value, self._rates[1])

    @torch.no_grad()
    def denoise(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Denoise `[batch, 2, y, x]` at `sigma` `[batch]` with the averaged weights."""
        return functional_call(self.denoiser, self.average, (noisy, sigma))

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        weights = self.denoiser.state_dict().values()
        return bool(torch.stack([value.isfinite().all() for value in weights]).all())

    def state(self) -> State:
        """Return the state for a checkpoint."""
        return {
            "config": self.config.model_dump_json(),
            "step": self.step,
            "rollbacks": self.rollbacks,
            "weights": self.denoiser.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Restore the state of a training with the same recipe.

        Raises
        ------
        ConfigError
            The state was made by another recipe, or by another version of the network.
        """
        changed = _changed_fields(self.config, state["config"])
        if changed:
            raise ConfigError(
                f"The checkpoint was made by another recipe (different: {', '.join(changed)}); "
                "restore the recipe or train into another folder."
            )
        if state["step"] > self.config.steps:
            raise ConfigError(
                f"The checkpoint has {state['step']} updates, more than the {self.config.steps} "
                "that the recipe asks for; ask for more, or train into another folder."
            )
        expected = self.denoiser.state_dict()
        wrong = state_dict_mismatch(state["weights"], expected) or state_dict_mismatch(
            state["average"], expected
        )
        if wrong:
            raise ConfigError(
                f"The checkpoint was made by another version of score-gadget: {wrong}. Go on with "
                "that version, or train into another folder."
            )
        self.step = state["step"]
        self.rollbacks = state.get("rollbacks", 0)
        self.denoiser.load_state_dict(state["weights"])
        self.average = state["average"]
        for group in state["optimizer"]["param_groups"]:
            group.update(self._adam_options)
        self.optimizer.load_state_dict(state["optimizer"])
        self._update_step = self._make_update_step()


def _changed_fields(config: TrainingConfig, made_by: str) -> list[str]:
    """Return the names of the fields that differ from those of a recipe in JSON."""
    try:
        other = TrainingConfig.model_validate_json(made_by)
    except ValidationError as error:
        return [str(details["loc"][0]) for details in error.errors()]
    # More or fewer steps are the same recipe: that is how a training is prolonged.
    return [k for k, v in other if k != "steps" and getattr(config, k) != v]


def initial_weights(config: TrainingConfig, name: str) -> dict[str, Tensor]:
    """Return the weights of the model that a training begins from.

    Raises
    ------
    WeightsError
        Its weights are damaged.
    ConfigError
        There is no such model, or its network is not the recipe's.
    """
    folder = find_model(name)
    model = read_config(folder)
    if not isinstance(model.network, UNetConfig):
        raise ConfigError(
            f"The training cannot begin from '{name}': it was imported, and only models that were "
            "trained here can be trained on. Name another one, or remove `initial`."
        )
    if (model.network, model.sigma_data) != (config.network, config.sigma_data):
        raise ConfigError(
            f"The training cannot begin from '{name}': expected a model of the recipe's network "
            f"({config.network!r}, sigma_data {config.sigma_data}), got {model.network!r}, "
            f"sigma_data {model.sigma_data}. Copy these to the recipe, or remove `initial`."
        )
    return read_weights(folder, model)


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

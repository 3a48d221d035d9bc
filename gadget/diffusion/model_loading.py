"""The model that suits a device, and its loading as a prior."""

from __future__ import annotations

import torch

from gadget.diffusion import AUTO_MODELS, DEFAULT_MODEL
from gadget.diffusion.devices import explain_out_of_memory, supports_bfloat16
from gadget.diffusion.installed_models import find_model
from gadget.diffusion.model_folder import denoiser_of, read_config, read_weights
from gadget.diffusion.networks.unet import UNetConfig
from gadget.diffusion.prior import NetworkPrior, Prior


def model_for(name: str, device: torch.device) -> str:
    """Return the name of a model: for `auto`, of the one that suits the device."""
    if name != DEFAULT_MODEL:
        return name
    small, large = AUTO_MODELS
    return large if device.type == "cuda" or supports_bfloat16(device) else small


def load_prior(name: str, device: torch.device) -> Prior:
    """Load a model's weights onto `device`.

    Parameters
    ----------
    name, device
        Name or folder of the model, or `auto`, and where to compute.

    Raises
    ------
    ConfigError
        There is no such model.
    WeightsError
        Its weights are damaged, or do not fit its network.
    DeviceMemoryError
        The device's memory is too full.
    """
    folder = find_model(model_for(name, device))
    config = read_config(folder)
    is_unet = isinstance(config.network, UNetConfig)
    with explain_out_of_memory(
        f"The memory of {device} is too full for the model {config.name}: make room on it, or "
        "choose another device."
    ):
        weights = read_weights(folder, config)
        denoiser = denoiser_of(config)
        denoiser.load_state_dict(weights)
        denoiser.to(device)
    return NetworkPrior(
        denoiser,
        name=config.name,
        sha256=config.sha256,
        sigma_min=config.sigma_min,
        sigma_max=config.sigma_max,
        channels=config.network.channels,
        size_multiple=config.network.size_multiple,
        # `score-gadget train` augments by orientation; published networks saw upright images.
        any_orientation=is_unet,
        # U-Nets are trained that way; a published network must agree with its authors' code.
        half_precision=is_unet and supports_bfloat16(device),
    )

"""A published network, converted to one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gadget.diffusion.model_folder import state_dict_mismatch
from gadget.diffusion.networks.adm import AdmConfig
from gadget.diffusion.networks.ncsnpp import NCSNppConfig


class PublishedNetwork(NamedTuple):
    """A published network, converted to an `NCSNpp` or an `Adm`."""

    network: NCSNppConfig | AdmConfig
    weights: dict[str, Tensor]
    """With the parameter names of our network."""
    steps: int
    """Training steps."""
    sigma_min: float
    sigma_max: float
    """Trained noise levels, in units of the network's input."""


def is_plain(value: Tensor) -> bool:
    """Return whether a tensor is dense and of real floating-point numbers."""
    return value.is_floating_point() and value.layout == torch.strided and not value.is_meta


def check_plain(weights: Mapping[str, Tensor]) -> None:
    """Check that weights are plain tensors.

    Raises
    ------
    ValueError
        One is sparse, complex, of integers, or has no memory.
    """
    for name, value in weights.items():
        if not is_plain(value):
            raise ValueError(
                f"its weights {name} are no real floating-point numbers that lie side by side in "
                "memory"
            )


def first_channels(weights: Mapping[str, Tensor], name: str) -> int:
    """Return the output channels of a layer.

    Raises
    ------
    ValueError
        There is no such layer.
    """
    if name not in weights:
        raise ValueError(f"it has no weights '{name}'")
    if not weights[name].ndim:
        raise ValueError(f"its weights {name} are a single number")
    return len(weights[name])


def check_complete(
    renamed: Mapping[str, Tensor], left: Mapping[str, Tensor], network: nn.Module
) -> None:
    """Check that renamed weights are those of a network, and that none are left over.

    Raises
    ------
    ValueError
        Some are missing, left over, or of another shape.
    """
    if left:
        raise ValueError(f"its weights {next(iter(left))} have no place")
    wrong = state_dict_mismatch(renamed, network.state_dict())
    if wrong:
        raise ValueError(wrong)

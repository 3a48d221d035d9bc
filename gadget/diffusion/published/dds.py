"""Checkpoints of DDS: ADM, the network of guided-diffusion, for real or complex images.

A checkpoint is a flat dictionary of (averaged) weights. Modules are numbered within `input_blocks`,
`middle_block` and `output_blocks` in the order of their use.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from gadget.diffusion.networks.adm import Adm, AdmConfig, Attention
from gadget.diffusion.published.network import (
    PublishedNetwork,
    check_complete,
    check_plain,
    first_channels,
)
from gadget.errors import invalid_values

log = logging.getLogger(__name__)

STEM = "input_blocks.0.0.weight"
LAYOUT = (
    "DDS checkpoints of ADM for real or complex images (weights called 'input_blocks.N...', "
    "residual blocks that resample, and scale and shift by the time step)"
)
ASSUMED = (
    "num_head_channels = 64, use_new_attention_order = False, beta_schedule = linear, beta_start = "
    "0.0001, beta_end = 0.02, num_diffusion_timesteps = 1000, predict_xstart = False"
)
"""Options of the authors that leave no trace in the weights, with the values of their `configs`."""


def block_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of an ADM, which lie in the checkpoint itself or in a part of it."""
    parts = [checkpoint, *(checkpoint.get(name) for name in ("ema", "state_dict", "model"))]
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        stem = next((str(name) for name in part if str(name).endswith(STEM)), None)
        if stem is not None:
            prefix = stem.removesuffix(STEM)
            return {
                str(name).removeprefix(prefix): value
                for name, value in part.items()
                if isinstance(value, Tensor)
            }
    return {}


def read_dds(checkpoint: Mapping[str, Any]) -> PublishedNetwork:
    """Return the network of a DDS checkpoint.

    Raises
    ------
    ValueError
        It is no known ADM.
    """
    weights = block_weights(checkpoint)
    if "ema" in checkpoint and not block_weights({"ema": checkpoint["ema"]}):
        log.warning("The averaged weights have no names; the raw ones are taken, which are worse.")
    check_plain(weights)
    network = _infer_config(weights)
    sigmas = network.sigmas
    return PublishedNetwork(
        network,
        _rename_weights(weights, network),
        steps=0,
        sigma_min=float(sigmas[0]),
        sigma_max=float(sigmas[-1]),
    )


def _infer_config(weights: dict[str, Tensor]) -> AdmConfig:
    """Infer the configuration from the names and the shapes of the weights."""
    if any(name.startswith("label_emb.") for name in weights):
        raise ValueError("its images have classes")
    if any(name.endswith((".op.weight", ".conv.weight")) for name in weights):
        raise ValueError("it resamples by convolutions of their own, not in its residual blocks")
    count_in, count_out = (_count(weights, part) for part in ("input_blocks", "output_blocks"))
    # The last block of each resolution on the way up is followed by one that doubles it.
    last = [i for i in range(count_out) if _enlarges(weights, i)]
    per_level = last[0] + 1 if last else count_out
    levels = len(last) + 1
    if not count_in == count_out == levels * per_level:
        raise ValueError(
            f"it has {count_in} blocks on the way down and {count_out} on the way up, of which "
            f"{len(last)} double the resolution: it is no ADM that resamples in its residual blocks"
        )
    first = [1 + level * per_level for level in range(levels)]
    try:
        return AdmConfig(
            channels=_inputs(weights),
            outputs=first_channels(weights, "out.2.weight"),
            stem=first_channels(weights, STEM),
            widths=tuple(
                first_channels(weights, f"input_blocks.{i}.0.in_layers.2.weight") for i in first
            ),
            blocks=per_level - 1,
            attention=tuple(
                level
                for level, i in enumerate(first)
                if f"input_blocks.{i}.1.qkv.weight" in weights
            ),
        )
    except ValidationError as error:
        raise ValueError(invalid_values(error, AdmConfig, "its").rstrip(".")) from error


def _count(weights: dict[str, Tensor], part: str) -> int:
    """Return the number of blocks."""
    return len({name.split(".")[1] for name in weights if name.startswith(f"{part}.")})


def _enlarges(weights: dict[str, Tensor], number: int) -> bool:
    """Return whether a block on the way up is followed by one that doubles the resolution."""
    return any(f"output_blocks.{number}.{i}.in_layers.2.weight" in weights for i in (1, 2))


def _inputs(weights: dict[str, Tensor]) -> int:
    if weights[STEM].ndim != 4:
        raise ValueError(f"its weights {STEM} are not those of a convolution")
    return weights[STEM].shape[1]


def _rename_weights(weights: dict[str, Tensor], config: AdmConfig) -> dict[str, Tensor]:
    """Rename weights to the parameter names of `Adm`."""
    with torch.device("meta"):  # its layers and their shapes, without memory for them
        network = Adm(config)
    found: dict[str, Tensor] = {}
    left = dict(weights)
    for own, theirs, kind in _modules(network):
        for their_layer, our_layer in _LAYERS[kind].items():
            for parameter in ("weight", "bias"):
                value = left.pop(f"{theirs}{their_layer}.{parameter}", None)
                if value is None:
                    continue
                if value.ndim == 3 and kind == "attention":
                    value = value[..., None]  # their 1 x 1 layers are one-dimensional
                found[f"{own}{our_layer}.{parameter}"] = value
    check_complete(found, left, network)
    return found


def _modules(network: Adm) -> Iterator[tuple[str, str, str]]:
    """Yield our name and theirs of each module, and its kind."""
    yield "", "", "outside"
    number = 0
    for i, level in enumerate(network.down):
        for j, kind in enumerate(_kinds(level)):
            number += kind == "residual"
            yield f"down.{i}.{j}.", f"input_blocks.{number}.{int(kind == 'attention')}.", kind
        if i < len(network.halve):
            number += 1
            yield f"halve.{i}.", f"input_blocks.{number}.0.", "residual"
    for j, kind in enumerate(_kinds(network.middle)):
        yield f"middle.{j}.", f"middle_block.{j}.", kind
    number = -1
    for i, level in enumerate(network.up):
        place = 0
        for j, kind in enumerate(_kinds(level)):
            place = int(kind == "attention")
            number += kind == "residual"
            yield f"up.{i}.{j}.", f"output_blocks.{number}.{place}.", kind
        if i < len(network.enlarge):
            yield f"enlarge.{i}.", f"output_blocks.{number}.{place + 1}.", "residual"


def _kinds(layers: Any) -> list[str]:  # noqa: ANN401 - a ModuleList
    return ["attention" if isinstance(layer, Attention) else "residual" for layer in layers]


_LAYERS: dict[str, dict[str, str]] = {
    "outside": {
        "time_embed.0": "embedding.first",
        "time_embed.2": "embedding.second",
        "input_blocks.0.0": "stem",
        "out.0": "norm",
        "out.2": "head",
    },
    "residual": {
        "in_layers.0": "norm_in",
        "in_layers.2": "conv_in",
        "emb_layers.1": "modulation",
        "out_layers.0": "norm_out",
        "out_layers.3": "conv_out",
        "skip_connection": "skip",
    },
    "attention": {"norm": "norm", "qkv": "query_key_value", "proj_out": "out"},
}
"""Our names of the layers of a module, by theirs."""

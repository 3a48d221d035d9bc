"""Read published score-MRI checkpoints.

A score-MRI checkpoint (`checkpoint_95.pth`) holds `model`, the raw weights, mostly with the prefix
`module.`, and `ema`, the averaged weights as a list in the order of the trainable parameters. The
fixed Fourier frequencies are no parameters: only the raw weights have them.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gadget.diffusion.networks.ncsnpp import NCSNppConfig
from gadget.diffusion.published_ncsnpp import FREQUENCIES, infer_config, rename_weights
from gadget.errors import WeightsError

log = logging.getLogger(__name__)

MODULES = "all_modules."
SIGMA_MIN, SIGMA_MAX = 0.01, 378.0
"""Noise levels of the published networks, where a checkpoint does not have its own."""
SUPPORTED = (
    "Supported are score-MRI checkpoints of NCSN++ for real images (`model` with weights called "
    f"'module.{MODULES}N...', `ema` with shadow_params)."
)
UNSUPPORTED = {
    r"(^|\.)(input_blocks|time_embed)\.": "a network of guided-diffusion, improved-diffusion or "
    "DDS (ADM). Such a file tells neither the noise schedule nor the number of attention heads, so "
    "that nothing exact can be made of it",
    r"(^|\.)(map_layer0|map_noise|enc\.\d+x\d+_)": "a network of EDM",
    r"(^|\.)(down_blocks|mid_block)\.": "a network of diffusers",
}
"""Known layouts that are not supported, by patterns of their weights' names."""


class PublishedNetwork(NamedTuple):
    """A published network, converted to an `NCSNpp`."""

    network: NCSNppConfig
    weights: dict[str, Tensor]
    """With the parameter names of `NCSNpp`."""
    steps: int
    """Training steps."""
    sigma_min: float
    sigma_max: float
    """Trained noise levels, in units of the network's input."""


def read_score_mri(path: Path) -> PublishedNetwork:
    """Return the network of a score-MRI checkpoint with its averaged weights.

    Raises
    ------
    WeightsError
        The file is no such checkpoint. Pickled code is never run.
    """
    checkpoint = _load(path)
    model = checkpoint.get("model", checkpoint)
    raw = _numbered_weights(model) if isinstance(model, Mapping) else {}
    if not raw:
        raise WeightsError(f"{path} is {_describe_layout(checkpoint)}. {SUPPORTED}")
    if FREQUENCIES not in raw:
        raise WeightsError(
            f"{path} lacks the fixed frequencies 'module.{MODULES}{FREQUENCIES}', which are random "
            f"numbers that nobody can guess. {SUPPORTED}"
        )
    averaged = raw | _ema_weights(checkpoint.get("ema"), raw, path)
    invalid = [name for name, value in averaged.items() if not _is_plain(value)]
    if invalid:
        raise WeightsError(
            f"The weights {invalid[0]} in {path} are no real floating-point numbers that lie side "
            f"by side in memory. {SUPPORTED}"
        )
    try:
        network = infer_config(averaged)
        weights = rename_weights(averaged, network)
    except ValueError as error:
        raise WeightsError(f"{path} is no known NCSN++: {error}. {SUPPORTED}") from error
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise WeightsError(
            f"{path} holds weights that are not finite: its training diverged, or the file is "
            "damaged. Take an earlier checkpoint."
        )
    steps = checkpoint.get("step")
    steps = steps if isinstance(steps, int) and steps >= 0 else 0
    return PublishedNetwork(network, weights, steps, *_noise_levels(model, path))


def _load(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise WeightsError(
            f"{path} is a pickle, as EDM publishes them: program code that is never run here. "
            f"{SUPPORTED}"
        )
    try:
        with warnings.catch_warnings():
            # Of pickles that are no checkpoints torch warns before it refuses them.
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"The checkpoint {path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # torch's readers raise whatever they like
        raise WeightsError(f"{path} is damaged or holds more than weights. {SUPPORTED}") from error
    return checkpoint if isinstance(checkpoint, Mapping) else {}


def _numbered_weights(model: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the weights of the numbered modules, by number and name."""
    return {
        name.rpartition(MODULES)[2]: value
        for name, value in model.items()
        if isinstance(name, str) and isinstance(value, Tensor) and MODULES in name
    }


def _is_plain(value: Tensor) -> bool:
    """Return whether a tensor is dense and of real floating-point numbers."""
    return value.is_floating_point() and value.layout == torch.strided and not value.is_meta


def _describe_layout(checkpoint: Mapping[str, Any]) -> str:
    names = [
        str(name)
        for part in (checkpoint, *checkpoint.values())
        if isinstance(part, Mapping)
        for name in part
    ]
    for pattern, meaning in UNSUPPORTED.items():
        if any(re.search(pattern, name) for name in names):
            return meaning
    return "no checkpoint of a known layout"


def _ema_weights(ema: object, raw: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the averaged (EMA) weights with the names of the raw ones."""
    if ema is None:
        log.warning("%s holds no averaged weights; the raw ones are worse.", path)
        return {}
    shadow = ema.get("shadow_params") if isinstance(ema, Mapping) else None
    trainable = [name for name in raw if name != FREQUENCIES]
    if not isinstance(shadow, list) or len(shadow) != len(trainable):
        found = len(shadow) if isinstance(shadow, list) else "no list of"
        raise WeightsError(
            f"{path} holds {len(trainable)} parameters and {found} averages, expected as many. "
            f"{SUPPORTED}"
        )
    averages = dict(zip(trainable, shadow, strict=True))
    for name, value in averages.items():
        if not isinstance(value, Tensor) or value.shape != raw[name].shape:
            raise WeightsError(
                f"The average of {name} in {path} is no tensor of the shape "
                f"{list(raw[name].shape)}: the averages belong to another network. {SUPPORTED}"
            )
    return averages


def _noise_levels(model: Mapping[Any, Any], path: Path) -> tuple[float, float]:
    for name, value in model.items():
        if isinstance(value, Tensor) and str(name).endswith("sigmas"):
            if _is_plain(value) and value.numel() and bool((value.isfinite() & (value > 0)).all()):
                lowest, highest = float(value.min()), float(value.max())
                if lowest < highest:
                    return lowest, highest
            log.warning(
                "The noise levels '%s' in %s are none; those of the published networks are taken, "
                "%g to %g.",
                name,
                path,
                SIGMA_MIN,
                SIGMA_MAX,
            )
    return SIGMA_MIN, SIGMA_MAX

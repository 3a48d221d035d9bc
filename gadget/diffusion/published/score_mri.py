"""Checkpoints of score-MRI: NCSN++ for real images.

A checkpoint (`checkpoint_95.pth`) holds `model`, the raw weights, mostly with the prefix `module.`,
and `ema`, the averaged weights as a list in the order of the trainable parameters. The fixed
Fourier frequencies are no parameters: only the raw weights have them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gadget.diffusion.published.ncsnpp_weights import FREQUENCIES, infer_config, rename_weights
from gadget.diffusion.published.network import PublishedNetwork, check_plain, is_plain

log = logging.getLogger(__name__)

MODULES = "all_modules."
SIGMA_MIN, SIGMA_MAX = 0.01, 378.0
"""Noise levels of the published networks, where a checkpoint does not have its own."""
LAYOUT = (
    f"score-MRI checkpoints of NCSN++ for real images (`model` with weights called "
    f"'module.{MODULES}N...', `ema` with shadow_params)"
)
ASSUMED = (
    "sde = vesde, nonlinearity = swish, skip_rescale = True, fir_kernel = [1, 3, 3, 1], "
    "scale_by_sigma = True, data.centered = False"
)
"""Options of the authors that leave no trace in the weights, with the values of their `configs`."""


def read_score_mri(checkpoint: Mapping[str, Any], path: Path) -> PublishedNetwork:
    """Return the network of a score-MRI checkpoint with its averaged weights.

    Raises
    ------
    ValueError
        It is no known NCSN++.
    """
    model = checkpoint.get("model", checkpoint)
    raw = numbered_weights(checkpoint)
    if FREQUENCIES not in raw:
        raise ValueError(
            f"it lacks the fixed frequencies 'module.{MODULES}{FREQUENCIES}', which are random "
            "numbers that nobody can guess"
        )
    averaged = raw | _ema_weights(checkpoint.get("ema"), raw, path)
    check_plain(averaged)
    network = infer_config(averaged)
    weights = rename_weights(averaged, network)
    steps = checkpoint.get("step")
    steps = steps if isinstance(steps, int) and steps >= 0 else 0
    return PublishedNetwork(network, weights, steps, *_noise_levels(model, path))


def numbered_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the raw weights of the numbered modules, by number and name; only NCSN++ has them."""
    model = checkpoint.get("model", checkpoint)
    if not isinstance(model, Mapping):
        return {}
    return {
        name.rpartition(MODULES)[2]: value
        for name, value in model.items()
        if isinstance(name, str) and isinstance(value, Tensor) and MODULES in name
    }


def _ema_weights(ema: object, raw: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the averaged (EMA) weights with the names of the raw ones."""
    if ema is None:
        log.warning("%s holds no averaged weights; the raw ones are worse.", path)
        return {}
    shadow = ema.get("shadow_params") if isinstance(ema, Mapping) else None
    trainable = [name for name in raw if name != FREQUENCIES]
    if not isinstance(shadow, list) or len(shadow) != len(trainable):
        found = len(shadow) if isinstance(shadow, list) else "no list of"
        raise ValueError(f"of {len(trainable)} parameters it holds {found} averages")
    averages = dict(zip(trainable, shadow, strict=True))
    for name, value in averages.items():
        if not isinstance(value, Tensor) or value.shape != raw[name].shape:
            raise ValueError(
                f"the average of {name} is no tensor of the shape {list(raw[name].shape)}: the "
                "averages belong to another network"
            )
    return averages


def _noise_levels(model: Mapping[Any, Any], path: Path) -> tuple[float, float]:
    for name, value in model.items():
        if isinstance(value, Tensor) and str(name).endswith("sigmas"):
            if is_plain(value) and value.numel() and bool((value.isfinite() & (value > 0)).all()):
                lowest, highest = float(value.min()), float(value.max())
                if lowest < highest:
                    return lowest, highest
            log.warning(
                "The noise levels '%s' in %s cannot be used; those of the published networks "
                "are taken, %g to %g.",
                name,
                path,
                SIGMA_MIN,
                SIGMA_MAX,
            )
    return SIGMA_MIN, SIGMA_MAX

"""Published checkpoints of other groups to model folders.

A score-MRI checkpoint (`checkpoint_95.pth`) holds `model`, the raw weights with the prefix
`module.`, and `ema`, the averaged weights as a list in the order of the trainable parameters. The
fixed Fourier frequencies are no parameters: only the raw weights have them.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gadget.diffusion.networks.ncsnpp import Attention, NCSNpp, NCSNppConfig
from gadget.errors import WeightsError

PREFIX = "module.all_modules."
FREQUENCIES = "0.W"
SIGMA_MIN, SIGMA_MAX = 0.01, 378.0
"""Noise levels that the published networks were trained for, in their own units."""
SUPPORTED = (
    "Supported are score-MRI checkpoints of NCSN++ (state dict `model` with keys "
    f"'{PREFIX}N...' and `ema` with shadow_params)."
)


def read_score_mri(path: Path) -> tuple[NCSNppConfig, dict[str, Tensor], int]:
    """Return network, averaged weights and training steps of a score-MRI checkpoint.

    Raises
    ------
    WeightsError
        The file is no such checkpoint. Pickled code is never run.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        raw = {
            name.removeprefix(PREFIX): value
            for name, value in checkpoint["model"].items()
            if name.startswith(PREFIX)
        }
        shadow = list(checkpoint["ema"]["shadow_params"])
        steps = int(checkpoint.get("step", 0))
    except OSError as error:
        raise WeightsError(f"The checkpoint {path} cannot be read: {error}.") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path} is damaged or holds more than weights. {SUPPORTED}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} has another layout ({error!r}). {SUPPORTED}") from error
    trainable = [name for name in raw if name != FREQUENCIES]
    if FREQUENCIES not in raw or len(trainable) != len(shadow):
        raise WeightsError(
            f"{path} holds {len(trainable)} parameters and {len(shadow)} averages, expected as "
            f"many, and the frequencies '{PREFIX}{FREQUENCIES}'. {SUPPORTED}"
        )
    averaged = dict(zip(trainable, shadow, strict=True)) | {FREQUENCIES: raw[FREQUENCIES]}
    config = _architecture(averaged, path)
    return config, _renamed(averaged, config, path), steps


def _architecture(weights: dict[str, Tensor], path: Path) -> NCSNppConfig:
    """Read the configuration off the order and the shapes of the numbered modules."""
    kinds = _kinds(weights)
    try:
        widths: list[int] = []
        attention: list[int] = []
        blocks = _blocks_before_first_halving(kinds)
        number = 4
        while True:
            level = len(widths)
            for _ in range(blocks):
                width = len(weights[f"{number}.Conv_0.weight"])
                number += 1
                if kinds.get(number) == "attention":
                    attention.append(level)
                    number += 1
            widths.append(width)
            if kinds.get(number + 1) != "pyramid":
                break
            number += 2
        return NCSNppConfig(
            stem=len(weights["3.weight"]),
            widths=tuple(widths),
            blocks=blocks,
            attention=tuple(sorted(set(attention))),
        )
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} is no known NCSN++ ({error!r}). {SUPPORTED}") from error


def _kinds(weights: dict[str, Tensor]) -> dict[int, str]:
    kinds: dict[int, str] = {}
    for name in weights:
        number, _, rest = name.partition(".")
        part = rest.split(".")[0]
        if part in ("NIN_0", "Conv2d_0", "Conv_0"):
            kinds[int(number)] = {
                "NIN_0": "attention",
                "Conv2d_0": "pyramid",
                "Conv_0": "residual",
            }[part]
    return kinds


def _blocks_before_first_halving(kinds: dict[int, str]) -> int:
    first_pyramid = min(number for number, kind in kinds.items() if kind == "pyramid")
    before = [kinds[number] for number in range(4, first_pyramid)]
    # The block just before the pyramid halves the resolution.
    return before.count("residual") - 1


def _renamed(weights: dict[str, Tensor], config: NCSNppConfig, path: Path) -> dict[str, Tensor]:
    """Give the weights the names that `NCSNpp` has for them."""
    renamed: dict[str, Tensor] = {}
    used: set[str] = set()
    for number, (own, kind) in enumerate(_modules(NCSNpp(config))):
        for theirs, ours in _NAMES[kind].items():
            source = f"{number}.{theirs}"
            if source in weights:
                value = weights[source]
                if kind == "attention" and theirs.endswith(".W"):
                    # Their 1 x 1 layers are matrices [in, out], ours are convolutions.
                    value = value.T[:, :, None, None]
                renamed[f"{own}.{ours}"] = value
                used.add(source)
    left = sorted(set(weights) - used)
    if left:
        raise WeightsError(f"{path} holds weights without a place, first {left[0]}. {SUPPORTED}")
    return renamed


def _modules(network: NCSNpp) -> Iterator[tuple[str, str]]:
    """Yield our name and the kind of each module, in the order in which theirs are numbered."""
    yield "embedding", "fourier"
    for name in ("embedding.first", "embedding.second", "stem"):
        yield name, "plain"
    for i, level in enumerate(network.down):
        yield from _level(f"down.{i}", level)
        if i < len(network.halve):
            yield f"halve.{i}", "residual"
            yield f"pyramid.{i}", "pyramid"
    yield from _level("middle", network.middle)
    for i, level in enumerate(network.up):
        yield from _level(f"up.{i}", level)
        if i < len(network.enlarge):
            yield f"enlarge.{i}", "residual"
    yield from (("norm", "plain"), ("head", "plain"))


def _level(name: str, layers: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - a ModuleList
    for j, layer in enumerate(layers):
        yield f"{name}.{j}", "attention" if isinstance(layer, Attention) else "residual"


def _both(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.weight": f"{ours}.weight", f"{theirs}.bias": f"{ours}.bias"}


_NAMES: dict[str, dict[str, str]] = {
    "fourier": {"W": "frequencies"},
    "plain": {"weight": "weight", "bias": "bias"},
    "pyramid": _both("Conv2d_0", "conv"),
    "residual": {
        **_both("GroupNorm_0", "norm_in"),
        **_both("Conv_0", "conv_in"),
        **_both("Dense_0", "shift"),
        **_both("GroupNorm_1", "norm_out"),
        **_both("Conv_1", "conv_out"),
        **_both("Conv_2", "skip"),
    },
    "attention": {
        **_both("GroupNorm_0", "norm"),
        **{
            f"NIN_{i}.{theirs}": f"{ours}.{kind}"
            for i, ours in enumerate(("query", "key", "value", "out"))
            for theirs, kind in (("W", "weight"), ("b", "bias"))
        },
    },
}

"""Convert the published NCSN++: infer its configuration, and rename its weights.

Its modules are numbered in the order of their use; what they are is read off their weights' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from gadget.diffusion.networks.ncsnpp import Attention, NCSNpp, NCSNppConfig
from gadget.diffusion.published.network import check_complete, first_channels
from gadget.errors import invalid_values

FREQUENCIES = "0.W"
KINDS = {"NIN_0": "attention", "Conv2d_0": "pyramid", "Conv_0": "residual"}
"""Kind of a module, by a submodule that only this kind has."""


def infer_config(weights: dict[str, Tensor]) -> NCSNppConfig:
    """Infer the configuration from the order and the shapes of the numbered modules.

    Raises
    ------
    ValueError
        The modules are not those of a known NCSN++.
    """
    try:
        kinds = _kinds(weights)
        found = list(kinds.values())
        levels = found.count("pyramid") + 1
        # Besides the blocks: one that halves, one more on the way up, one that doubles; the two in
        # the middle stand for the coarsest resolution, which does neither.
        blocks, rest = divmod(found.count("residual") - 3 * levels, 2 * levels)
        if rest or blocks < 1:
            raise ValueError(f"{found.count('residual')} residual blocks at {levels} resolutions")
        widths: list[int] = []
        attention: set[int] = set()
        number = 4
        for level in range(levels):
            for _ in range(blocks):
                width = first_channels(weights, f"{number}.Conv_0.weight")
                number += 1
                if kinds.get(number) == "attention":
                    attention.add(level)
                    number += 1
            widths.append(width)
            number += 2
        return NCSNppConfig(
            stem=first_channels(weights, "3.weight"),
            widths=tuple(widths),
            blocks=blocks,
            attention=tuple(sorted(attention)),
        )
    except ValidationError as error:
        wrong = invalid_values(error, NCSNppConfig, "its")
        raise ValueError(wrong.rstrip(".")) from error


def rename_weights(weights: dict[str, Tensor], config: NCSNppConfig) -> dict[str, Tensor]:
    """Rename weights to the parameter names of `NCSNpp`.

    Raises
    ------
    ValueError
        Some are missing, or left over.
    """
    with torch.device("meta"):  # its layers and their shapes, without memory for them
        network = NCSNpp(config)
    found: dict[str, Tensor] = {}
    left = dict(weights)
    for number, (own, kind) in enumerate(_modules(network)):
        for theirs, ours in _NAMES[kind].items():
            value = left.pop(f"{number}.{theirs}", None)
            if value is None:
                continue
            if value.ndim == 2 and kind == "attention" and theirs.endswith(".W"):
                # Their 1 x 1 layers are matrices [in, out], ours are convolutions.
                value = value.T[:, :, None, None]
            found[f"{own}.{ours}"] = value
    check_complete(found, left, network)
    return found


def _kinds(weights: dict[str, Tensor]) -> dict[int, str]:
    kinds: dict[int, str] = {}
    for name in weights:
        number, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if part in KINDS:
            kinds[int(number)] = KINDS[part]
    return kinds


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


def _weight_and_bias(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.weight": f"{ours}.weight", f"{theirs}.bias": f"{ours}.bias"}


_NAMES: dict[str, dict[str, str]] = {
    "fourier": {"W": "frequencies"},
    "plain": {"weight": "weight", "bias": "bias"},
    "pyramid": _weight_and_bias("Conv2d_0", "conv"),
    "residual": {
        **_weight_and_bias("GroupNorm_0", "norm_in"),
        **_weight_and_bias("Conv_0", "conv_in"),
        **_weight_and_bias("Dense_0", "shift"),
        **_weight_and_bias("GroupNorm_1", "norm_out"),
        **_weight_and_bias("Conv_1", "conv_out"),
        **_weight_and_bias("Conv_2", "skip"),
    },
    "attention": {
        **_weight_and_bias("GroupNorm_0", "norm"),
        **{
            f"NIN_{i}.{theirs}": f"{ours}.{kind}"
            for i, ours in enumerate(("query", "key", "value", "out"))
            for theirs, kind in (("W", "weight"), ("b", "bias"))
        },
    },
}

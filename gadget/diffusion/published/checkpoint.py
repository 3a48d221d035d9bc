"""Read a published checkpoint, whoever made it."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gadget.diffusion.published import dds, score_mri
from gadget.diffusion.published.network import PublishedNetwork
from gadget.errors import WeightsError, reason
from gadget.files import check_sums

SUPPORTED = f"Supported are {score_mri.LAYOUT}, and {dds.LAYOUT}."
UNSUPPORTED = {
    r"(^|\.)(map_layer0|map_noise|enc\.\d+x\d+_)": "a network of EDM",
    r"(^|\.)(down_blocks|mid_block)\.": "a network of diffusers",
}
"""Known layouts that are not supported, by patterns of their weights' names."""


def read_published(path: Path) -> PublishedNetwork:
    """Return the network of a published checkpoint, with its averaged weights.

    Raises
    ------
    WeightsError
        The file is no such checkpoint. Pickled code is never run.
    """
    checkpoint = _load(path)
    try:
        if score_mri.numbered_weights(checkpoint):
            published = score_mri.read_score_mri(checkpoint, path)
        elif dds.block_weights(checkpoint):
            published = dds.read_dds(checkpoint)
        else:
            raise ValueError(f"it is {_describe_layout(checkpoint)}")
    except ValueError as error:
        raise WeightsError(f"{path} cannot be imported: {error}. {SUPPORTED}") from error
    if not all(bool(value.float().isfinite().all()) for value in published.weights.values()):
        raise WeightsError(
            f"{path} holds weights that are not finite: its training diverged, or the file is "
            "damaged. Take an earlier checkpoint."
        )
    return published


def _load(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise WeightsError(
            f"{path} is a pickle, as EDM publishes them: program code that is never run here. "
            f"{SUPPORTED}"
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise WeightsError(f"{path} is no regular file. {SUPPORTED}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise WeightsError(f"The checkpoint {path} cannot be read: {reason(error)}.") from error
    try:
        with warnings.catch_warnings():
            # Of pickles that are no checkpoints torch warns before it refuses them.
            warnings.simplefilter("ignore")
            if zipfile.is_zipfile(path):  # older ones have no checksums
                check_sums(path)
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise whatever they like, OSError if cut short
        raise WeightsError(f"{path} is damaged or holds more than weights. {SUPPORTED}") from error
    return checkpoint if isinstance(checkpoint, Mapping) else {}


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

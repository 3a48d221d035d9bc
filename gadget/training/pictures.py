"""Figures of a training: samples, denoised patches, loss curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from gadget.training.trainer import Trainer
from gadget.training.validation import Validation, draw_samples, noise_levels

COLUMNS = 4
"""Patches of a row that are shown noisy, denoised and clean."""
INCH = 1.0
DOTS_PER_INCH = 96


def sample_sheet(trainer: Trainer) -> Figure:
    """Return patches drawn from the prior, each with its own grey scale."""
    samples = _magnitudes(draw_samples(trainer))
    return _sheet({"samples": samples}, [float(sample.max()) for sample in samples])


def denoising_sheet(trainer: Trainer, validation: Validation) -> Figure:
    """Return noisy, denoised and clean patches, a row a noise level; white is the clean maximum."""
    clean = _magnitudes(validation.clean[:COLUMNS])
    rows = {}
    for sigma in noise_levels(trainer.config):
        noisy, denoised = validation.denoised(trainer, sigma, COLUMNS)
        rows[f"{sigma:g}"] = [*_magnitudes(noisy), *_magnitudes(denoised), *clean]
    return _sheet(rows, [float(patch.max()) for patch in clean] * 3)


def loss_figure(rows: Sequence[dict[str, str]]) -> Figure:
    """Return the curves of the columns of `losses.csv`, without empty cells."""
    figure = Figure((8, 4.5), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for name in [name for name in rows[0] if name != "step"]:
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        if points:
            style = {"lw": 0.6, "color": "0.6"} if name == "training" else {"marker": "."}
            axes.plot(*zip(*points, strict=True), label=name, **style)
    axes.set(xlabel="step", ylabel="weighted loss", yscale="log")
    axes.legend(fontsize="small", ncols=2)
    return figure


def _magnitudes(patches: Tensor) -> list[NDArray[np.float32]]:
    return list(patches.square().sum(dim=1).sqrt().cpu().numpy())


def _sheet(rows: dict[str, list[NDArray[np.float32]]], white: Sequence[float]) -> Figure:
    """Return images in rows with names; `white` is the brightest value shown in each column."""
    edge = len(rows[next(iter(rows))][0])
    lines = [
        np.hstack([image / max(highest, 1e-6) for image, highest in zip(line, white, strict=True)])
        for line in rows.values()
    ]
    size = (INCH * len(white), INCH * len(rows))
    figure = Figure(size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.vstack(lines), "gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks(edge * (np.arange(len(rows)) + 0.5), list(rows))
    return figure

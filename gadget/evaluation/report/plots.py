"""Plots as SVG data URLs."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gadget.evaluation.checks.lesions import LesionRow
from gadget.evaluation.methods.method import Method
from gadget.evaluation.records import ScoreRecord
from gadget.evaluation.report.pictures import data_url
from gadget.evaluation.uncertainty import Reliability

OURS, OTHERS, FAINT = "#c2410c", "#475569", "#cbd5e1"
COLOURS = ("#0e7490", "#4d7c0f", "#7e22ce", "#db2777", "#475569")
DASHES = (0, (4, 3))
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": OTHERS,
    "xtick.color": OTHERS,
    "ytick.color": "#0f172a",
    "axes.grid": True,
    "axes.grid.axis": "x",
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
}


def score_plot(records: Sequence[ScoreRecord], methods: Sequence[Method]) -> str:
    """Draw PSNR and SSIM of every slice, a line of dots for each method."""
    with mpl.rc_context(STYLE):
        figure = Figure((7.6, 0.75 + 0.27 * len(methods)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name, label in zip(panels, ("psnr", "ssim"), ("PSNR [dB]", "SSIM"), strict=True):
            for row, method in enumerate(methods):
                found = [getattr(r, name) for r in records if r.method == method.name]
                values = [value for value in found if value is not None]
                colour = OURS if _is_ours(method.name) else OTHERS
                axes.plot(values, [row] * len(values), "o", color=colour, alpha=0.45, ms=5, mew=0)
                if values:
                    axes.plot([np.mean(values)], [row], "|", color=colour, ms=13, mew=2)
            axes.set_xlabel(label)
            axes.set_yticks(range(len(methods)), [method.label for method in methods])
            axes.set_ylim(len(methods) - 0.5, -0.5)
            axes.tick_params(length=0)
        return _data_url(figure)


def calibration(curves: Sequence[tuple[str, Sequence[Reliability]]]) -> str:
    """Draw reliability curves, observed against predicted error, a line for each slice.

    `curves` holds the label of each pattern with the curves of its slices.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((4.4, 3.9), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="both")
        largest = 1e-9
        for colour, (label, slices) in zip(cycle(COLOURS), curves, strict=False):
            for number, curve in enumerate(slices):
                x, y = 100 * curve.predicted, 100 * curve.observed
                name = label if number == 0 else None
                axes.plot(x, y, "o-", color=colour, ms=3, lw=1, alpha=0.8, label=name)
                largest = max(largest, float(x.max()), float(y.max()))
        axes.plot([0, largest], [0, largest], color=OTHERS, lw=1, ls=DASHES)
        axes.set_xlabel("predicted standard deviation [% of the maximum]")
        axes.set_ylabel("root mean square error [% of the maximum]")
        axes.legend(frameon=False, fontsize=8)
        return _data_url(figure)


def lesions(rows: Sequence[LesionRow], labels: dict[str, str]) -> str:
    """Draw recovered contrast, missed and invented lesions against the acceleration."""
    contrasts = sorted({row.contrast for row in rows})
    with mpl.rc_context(STYLE):
        figure = Figure((9.6, 5.6), layout="constrained")
        panels = figure.subplots(2, len(contrasts), sharex=True, sharey="row", squeeze=False)
        for (upper, lower), contrast in zip(panels.T, contrasts, strict=True):
            same = [row for row in rows if row.contrast == contrast]
            for (method, label), colour in zip(labels.items(), _colours(labels), strict=True):
                own = [row for row in same if row.method == method]
                _contrast_lines(upper, own, label, colour)
                _mistake_lines(lower, own, label, colour)
            upper.axhline(100, color=OTHERS, lw=1, ls=DASHES)
            upper.set_title(f"lesions {contrast:.0%} brighter than the tissue", fontsize=9)
            lower.set_xlabel("acceleration R")
            lower.set_xticks(sorted({row.acceleration for row in rows}))
            for axes in (upper, lower):
                axes.grid(axis="both")
        for axes, label in zip(panels[:, 0], ("contrast kept [%]", "lesions [%]"), strict=True):
            axes.set_ylabel(label)
        for axes in panels[:, -1]:
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        return _data_url(figure)


def _contrast_lines(axes: Axes, rows: Sequence[LesionRow], label: str, colour: str) -> None:
    for width, diameter in enumerate(sorted({row.diameter for row in rows})):
        own = [row for row in rows if row.diameter == diameter]
        axes.plot(
            [row.acceleration for row in own],
            [100 * row.recovered.mean for row in own],
            "o-",
            color=colour,
            lw=0.8 + 0.7 * width,
            ms=3 + width,
            alpha=0.5 + 0.2 * width,
            label=f"{label}, {diameter} pixels",
        )


def _mistake_lines(axes: Axes, rows: Sequence[LesionRow], label: str, colour: str) -> None:
    accelerations = sorted({row.acceleration for row in rows})
    for name, line in (("missed", "-"), ("invented", DASHES)):
        shares = [
            100 * np.mean([getattr(row, name) for row in rows if row.acceleration == at])
            for at in accelerations
        ]
        axes.plot(accelerations, shares, "o", ls=line, color=colour, ms=4, label=f"{label}, {name}")


def _colours(names: Iterable[str]) -> list[str]:
    """Give every method a colour, ours always the same."""
    others = cycle(COLOURS)
    return [OURS if _is_ours(name) else next(others) for name in names]


def _is_ours(name: str) -> bool:
    return name.partition(":")[0] == "fast"


def _data_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True)
    return data_url(buffer.getvalue(), "image/svg+xml")

"""Panels of images side by side, for the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.evaluation.checks.lesions import LesionPair
from gadget.evaluation.checks.noise import NoiseResult
from gadget.evaluation.collection import Collection
from gadget.evaluation.experiment import Result
from gadget.evaluation.report.pictures import display_maximum, grey, heatmap, zoom

TIMES = "\N{MULTIPLICATION SIGN}"
GAINS = (50, 20, 10, 5, 2, 1)
"""Factors that errors are shown with."""
ERROR_QUANTILE = 0.995


@dataclass(frozen=True)
class Picture:
    """An image with its caption."""

    url: str
    caption: str = ""
    box: tuple[float, float, float, float] | None = None
    """A frame within it: left, top, width, height [% of the image]."""


@dataclass(frozen=True)
class Column:
    """Pictures of one method, from top to bottom."""

    heading: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Panel:
    """Columns of images with a common window."""

    title: str
    note: str
    columns: tuple[Column, ...]


def comparison_panels(collection: Collection) -> Iterator[tuple[str, list[Panel]]]:
    """Yield the title of each shown slice and its panels, one for each pattern."""
    for title, results in collection.shown.items():
        groups = groupby(results, key=_pattern)
        yield title, [_comparison(label, list(group)) for (_, label), group in groups]


def uncertainty_panels(collection: Collection) -> list[Panel]:
    """Return a panel for each shown slice and pattern of a method that predicts its error."""
    return [
        _uncertainty(result, result.std)
        for results in collection.shown.values()
        for result in results
        if result.std is not None
    ]


def lesion_panel(pairs: Sequence[LesionPair]) -> Panel:
    """Show one slice with and without lesions as the methods see it."""
    truth, without, quarter_turns = pairs[0].truth, pairs[0].case.truth, pairs[0].case.quarter_turns
    peak, high = display_maximum(truth), float(np.abs(truth - without).max()) or 1.0

    def column(heading: str, image: NDArray[Any], without: NDArray[Any]) -> Column:
        image, without = np.rot90(image, quarter_turns), np.rot90(without, quarter_turns)
        change = Picture(heatmap(np.abs(image - without), high))
        return Column(heading, (Picture(grey(image, peak)), Picture(grey(without, peak)), change))

    columns = [column("truth", truth, without)]
    columns += [
        column(f"{pair.method.label}, R = {pair.acceleration:g}", pair.image, pair.image_without)
        for pair in pairs
    ]
    return Panel("With lesions, without, and the difference of both", "", tuple(columns))


def noise_panels(results: Sequence[NoiseResult]) -> list[Panel]:
    """Show the reconstructions of k-space without an object, a panel for each pattern."""
    panels = []
    for (_, label), group in groupby(results, key=_pattern):
        columns: dict[tuple[str, str], list[Picture]] = {}
        for one in group:
            picture = Picture(grey(one.image, float(one.image.max())), one.record.content)
            columns.setdefault((one.method.name, one.method.label), []).append(picture)
        shown = tuple(Column(heading, tuple(found)) for (_, heading), found in columns.items())
        panels.append(Panel(label, "each image in its own window", shown))
    return panels


def _pattern(result: Result | NoiseResult) -> tuple[str, str]:
    """Return name and label of a result's pattern: masks of two files may have the same label."""
    return result.pattern.name, result.pattern.label


def _comparison(label: str, results: Sequence[Result]) -> Panel:
    quarter_turns = results[0].case.quarter_turns
    truth = np.rot90(results[0].case.truth, quarter_turns)
    images = [np.rot90(result.image, quarter_turns) for result in results]
    part, peak = zoom(truth), display_maximum(truth)
    gain = _gain([np.abs(image - truth) for image in images], peak)
    mask = np.rot90(results[0].mask, quarter_turns).astype(np.float32)
    columns = [
        Column(
            "truth, and points measured",
            (
                Picture(grey(truth, peak), results[0].case.title, _box(part, truth)),
                Picture(grey(truth[part], peak)),
                Picture(grey(mask, 1)),
            ),
        )
    ]
    for result, image in zip(results, images, strict=True):
        caption = f"{result.scores.psnr:.2f} dB, {result.scores.ssim:.3f}"
        columns.append(
            Column(
                result.method.label,
                (
                    Picture(grey(image, peak), caption),
                    Picture(grey(image[part], peak)),
                    Picture(heatmap(gain * np.abs(image - truth), peak)),
                ),
            )
        )
    note = f"PSNR, SSIM; frame enlarged below; |error| {TIMES} {gain} in the same window"
    return Panel(label, note, tuple(columns))


def _uncertainty(result: Result, std: NDArray[np.float32]) -> Panel:
    turned = [
        np.rot90(one, result.case.quarter_turns) for one in (result.case.truth, result.image, std)
    ]
    truth, image, deviation = turned
    peak, error = display_maximum(truth), np.abs(image - truth)
    gain = _gain([error], peak)
    uncertainty_scores = result.uncertainty_scores
    caption = (
        f"correlation by region {uncertainty_scores.sigma_correlation:.2f}"
        if uncertainty_scores
        else ""
    )
    columns = (
        Column("truth", (Picture(grey(truth, peak)),)),
        Column("mean of the samples", (Picture(grey(image, peak)),)),
        Column(f"|error| {TIMES} {gain}", (Picture(heatmap(gain * error, peak)),)),
        Column(
            f"predicted standard deviation {TIMES} {gain}",
            (Picture(heatmap(gain * deviation, peak), caption),),
        ),
    )
    return Panel(f"{result.pattern.label}: {result.case.title}", "", columns)


def _gain(errors: Sequence[NDArray[Any]], peak: float) -> int:
    """Return the largest factor that leaves the errors of most methods within the window."""
    typical = float(np.median([np.quantile(error, ERROR_QUANTILE) for error in errors]))
    return next((gain for gain in GAINS if gain * typical <= peak), GAINS[-1])


def _box(part: tuple[slice, slice], image: NDArray[Any]) -> tuple[float, float, float, float]:
    height, width = image.shape
    rows, columns = part
    return (
        100 * columns.start / width,
        100 * rows.start / height,
        100 * (columns.stop - columns.start) / width,
        100 * (rows.stop - rows.start) / height,
    )

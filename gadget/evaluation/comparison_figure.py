"""Figure of a comparison: zero-filled image, reconstruction, truth and error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gadget.errors import ConfigError
from gadget.evaluation.comparison import Comparison, Quality
from gadget.evaluation.report.pictures import display_maximum
from gadget.files import write_errors

ERROR_GAIN = 5
MAX_ROWS = 3
INCHES, CAPTION_INCHES = 3.2, 0.32
DOTS_PER_INCH = 80
"""An image of 256 x 256 pixels is shown pixel by pixel."""


def save_figure(comparison: Comparison, path: Path) -> None:
    """Write zero-filled image, reconstruction, truth and error side by side as PNG, a row a slice.

    Only the first three slices are shown.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    rows = min(MAX_ROWS, len(comparison.indices))
    width, height = 4 * INCHES, rows * (INCHES + CAPTION_INCHES)
    figure = Figure((width, height), dpi=DOTS_PER_INCH, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    peak = display_maximum(comparison.truth[:rows])
    for row in range(rows):
        bottom = 1 - ((row + 1) * (INCHES + CAPTION_INCHES)) / height
        for column, (caption, image) in enumerate(_columns(comparison, row)):
            axes = figure.add_axes((column / 4, bottom, 0.25, INCHES / height))
            axes.imshow(image, "gray", vmin=0, vmax=peak, interpolation="auto")
            axes.set_axis_off()
            figure.text(
                (column + 0.5) / 4,
                bottom + (INCHES + 0.45 * CAPTION_INCHES) / height,
                caption,
                color="white",
                fontsize=12,
                ha="center",
                va="center",
            )
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    with write_errors(path, ConfigError):
        # Grey is all there is in it, and a third of the size.
        Image.fromarray(pixels).convert("L").save(path, "PNG")


def _columns(comparison: Comparison, row: int) -> Iterator[tuple[str, NDArray[Any]]]:
    truth, image = comparison.truth[row], comparison.reconstruction[row]
    simple = comparison.zero_filled
    yield f"zero-filled   {_format(comparison.quality(simple, row))}", simple[row]
    yield f"reconstruction   {_format(comparison.quality(comparison.reconstruction, row))}", image
    yield f"truth   slice {comparison.indices[row].slice}", truth
    yield f"error of the reconstruction x {ERROR_GAIN}", ERROR_GAIN * np.abs(image - truth)


def _format(quality: Quality) -> str:
    return f"{quality.psnr:.1f} dB   SSIM {quality.ssim:.3f}"

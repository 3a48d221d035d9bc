"""`score-gadget compare`: how good images are, where the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadget.cli.console import print_result
from gadget.extras import optional_import


def compare(
    images: Annotated[Path, typer.Argument(help="HDF5 file of the reconstructed images.")],
    raw: Annotated[Path, typer.Argument(help="The raw data, from `score-gadget simulate`.")],
    png: Annotated[Path | None, typer.Option(help="PNG file for a picture.")] = None,
) -> None:
    """Print PSNR and SSIM of zero-filled and reconstructed images against the truth.

    All slices are scaled to the truth by one factor; measures are those of the fastMRI challenge.

    Example: score-gadget compare out.h5 raw.h5 --png comparison.png
    """
    with optional_import("Comparing needs", "demo"):
        from gadget.evaluation import comparison as comparisons
        from gadget.evaluation.comparison_figure import save_figure

    found = comparisons.compare(images, raw)
    print_result("slice   zero-filled PSNR  SSIM    reconstruction PSNR  SSIM")
    for number in (*range(len(found.indices)), None):
        name = "all" if number is None else str(found.indices[number].slice)
        simple = found.quality(found.zero_filled, number)
        ours = found.quality(found.reconstruction, number)
        print_result(
            f"{name:<5} {simple.psnr:14.2f} dB  {simple.ssim:.3f} {ours.psnr:18.2f} dB"
            f"  {ours.ssim:.3f}"
        )
    if png is not None:
        save_figure(found, png)
        print_result(f"picture: {png}")

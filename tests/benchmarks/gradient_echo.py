"""Heads whose fat has another phase than water, as in gradient echoes.

Usage: python tests/benchmarks/gradient_echo.py DATA [--slices N] [--model NAME]

DATA: images of heads as for `score-gadget evaluate`. Their outer 9 pixels, mostly fat, are given a
phase of 0, 60, 90 and 180 degrees (3 T: 440 Hz times the echo time), and a fourth of the lines is
measured with 8 coils. Printed are the means of PSNR [dB] and SSIM: `fast`, and the best of BART's
settings with ESPIRiT maps for scale.
"""

from __future__ import annotations

import numpy as np
from beside_bart import Comparison
from numpy.typing import NDArray
from scipy import ndimage

from gadget.evaluation.cases import Case, Receiver, simulated_case
from gadget.mri.sampling.patterns import parse_pattern

DEGREES = (0, 60, 90, 180)
PATTERNS = ("uniform1d:4:0.08", "random1d:4:0.08")
SCALP, EDGE = 9, 0.7
"""Depth of the scalp, and width of its inner edge [pixels]."""


def main() -> None:
    comparison = Comparison(__doc__.splitlines()[0])
    for label in PATTERNS:
        for degrees in DEGREES:
            for head in comparison.cases:
                case = simulated_case(head.name, head.number, with_fat(head, degrees), Receiver())
                kspace = case.undersampled(parse_pattern(label), 0)
                comparison.add_fast("fast", case, kspace)
                comparison.add_bart("BART", case, kspace)
            comparison.print_means(f"{label} {degrees:4} degrees")


def with_fat(head: Case, degrees: float) -> NDArray[np.complex128]:
    """Return the image `[y, x]` of a head whose scalp has another phase."""
    magnitude = head.truth
    tissue = ndimage.binary_opening(magnitude > 0.1 * np.percentile(magnitude, 99), iterations=2)
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(tissue))
    fat = magnitude / (1 + np.exp((depth - SCALP) / EDGE))
    return np.asarray(magnitude + fat * (np.exp(1j * np.deg2rad(degrees)) - 1))


if __name__ == "__main__":
    main()

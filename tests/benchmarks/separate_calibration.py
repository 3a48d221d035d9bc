"""Images without a centre of k-space, their calibration lines measured apart with another contrast.

Usage: python tests/benchmarks/separate_calibration.py DATA [--slices N] [--model NAME]

DATA: images as for `score-gadget evaluate`. Every third, fourth or sixth line is measured with 8
coils, and 24 calibration lines of the same object with the square root of its intensities. Printed
are the means of PSNR [dB] and SSIM: `fast` with the same lines within its own image for scale, with
the separate lines, and the best of BART's settings with ESPIRiT maps of them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from beside_bart import Comparison

from gadget.evaluation.cases import Case
from gadget.mri.kspace import KSpace

ACCELERATIONS = (3, 4, 6)
LINES = 24


def main() -> None:
    comparison = Comparison(__doc__.splitlines()[0])
    for acceleration in ACCELERATIONS:
        for case in comparison.cases:
            own, separate = scans(case, acceleration)
            comparison.add_fast("fast, own lines", case, own)
            comparison.add_fast("fast, separate lines", case, separate)
            comparison.add_bart("BART, separate lines", case, separate)
        comparison.print_means(f"R = {acceleration}")


def scans(case: Case, acceleration: int) -> tuple[KSpace, KSpace]:
    """Return the scan with calibration lines among its own, and the one with separate ones."""
    rows = len(case.measured)
    lines, centre = np.zeros((2, *case.measured.shape), bool)
    lines[1::acceleration] = True
    centre[(rows - LINES) // 2 : (rows + LINES) // 2] = True
    object_ = case.truth / np.percentile(case.truth, 99)
    # sqrt(x) / x - 1, which grows without bound in air.
    other = case.brightened(np.float32(1) / np.sqrt(np.clip(object_, 0.05, None)) - 1)
    separate = replace(case.masked(lines), calibration=other.masked(centre))
    return case.masked(lines | centre), separate


if __name__ == "__main__":
    main()

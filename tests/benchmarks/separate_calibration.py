"""Images without a centre of k-space, their calibration lines measured apart with another contrast.

Usage: python tests/benchmarks/separate_calibration.py DATA [--slices N] [--model NAME]

DATA: images as for `score-gadget evaluate`. Every third, fourth or sixth line is measured with 8
coils, and 24 calibration lines of the same object with the square root of its intensities. Printed
are the means of PSNR [dB] and SSIM: `fast` with the same lines within its own image for scale, with
the separate lines, and the best of BART's settings with ESPIRiT maps of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.evaluation.cases import Case, Receiver
from gadget.evaluation.methods.with_bart import Bart, BartMaps
from gadget.evaluation.metrics import psnr, ssim
from gadget.evaluation.sources import find_inputs, load_cases
from gadget.mri.kspace import KSpace

ACCELERATIONS = (3, 4, 6)
LINES = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--slices", type=int, default=1, help="of each file")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    reconstructor = Reconstructor(SamplerSettings(model=arguments.model))
    maps = BartMaps()
    peers = [Bart(penalty, maps) for penalty in ("l1wavelet", "tv")]
    cases = [
        case
        for found in find_inputs([arguments.data])
        for case in load_cases(found, arguments.slices, Receiver())
    ]
    for acceleration in ACCELERATIONS:
        scores: dict[str, list[tuple[float, float]]] = {}
        for case in cases:
            own, separate = scans(case, acceleration)
            images = {
                "fast, own lines": [reconstructor.reconstruct(own).image[0]],
                "fast, separate lines": [reconstructor.reconstruct(separate).image[0]],
                "BART, separate lines": [
                    estimate.image for peer in peers for estimate in peer.reconstruct(separate)
                ],
            }
            for name, found in images.items():
                scores.setdefault(name, []).append(max(compared(case, found)))
        for name, pairs in scores.items():
            decibels, similarity = np.mean(pairs, axis=0)
            print(f"R = {acceleration}  {name:22} {decibels:6.2f} dB  {similarity:.3f}")


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


def compared(case: Case, images: list[np.ndarray]) -> Iterator[tuple[float, float]]:
    for image in images:
        magnitude = case.crop(np.abs(image))
        yield psnr(case.truth, magnitude), ssim(case.truth, magnitude)


if __name__ == "__main__":
    main()

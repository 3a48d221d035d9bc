"""Heads whose fat has another phase than water, as in gradient echoes.

Usage: python tests/benchmarks/gradient_echo.py DATA [--slices N] [--model NAME]

DATA: images of heads as for `score-gadget evaluate`. Their outer 9 pixels, mostly fat, are given a
phase of 0, 60, 90 and 180 degrees (3 T: 440 Hz times the echo time), and a fourth of the lines is
measured with 8 coils. Printed are the means of PSNR [dB] and SSIM: `fast`, and the best of BART's
settings with ESPIRiT maps for scale.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.evaluation.cases import Case, Receiver, simulated_case
from gadget.evaluation.methods.with_bart import Bart, BartMaps
from gadget.evaluation.metrics import psnr, ssim
from gadget.evaluation.sources import find_inputs, load_cases
from gadget.mri.sampling.patterns import parse_pattern

DEGREES = (0, 60, 90, 180)
PATTERNS = ("uniform1d:4:0.08", "random1d:4:0.08")
SCALP, EDGE = 9, 0.7
"""Depth of the scalp, and width of its inner edge [pixels]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--slices", type=int, default=1, help="of each file")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    reconstructor = Reconstructor(SamplerSettings(model=arguments.model))
    maps = BartMaps()
    peers = [Bart(penalty, maps) for penalty in ("l1wavelet", "tv")]
    heads = [
        case
        for found in find_inputs([arguments.data])
        for case in load_cases(found, arguments.slices, Receiver())
    ]
    for label in PATTERNS:
        for degrees in DEGREES:
            scores: dict[str, list[tuple[float, float]]] = {"fast": [], "BART": []}
            for head in heads:
                case = simulated_case(head.name, head.number, with_fat(head, degrees), Receiver())
                kspace = case.undersampled(parse_pattern(label), 0)
                scores["fast"].append(compared(case, reconstructor.reconstruct(kspace).image[0]))
                estimates = [one.image for peer in peers for one in peer.reconstruct(kspace)]
                scores["BART"].append(max(compared(case, image) for image in estimates))
            for name, pairs in scores.items():
                decibels, similarity = np.mean(pairs, axis=0)
                print(f"{label} {degrees:4} degrees  {name} {decibels:6.2f} dB  {similarity:.3f}")


def with_fat(head: Case, degrees: float) -> NDArray[np.complex128]:
    """Return the image `[y, x]` of a head whose scalp has another phase."""
    magnitude = head.truth
    tissue = ndimage.binary_opening(magnitude > 0.1 * np.percentile(magnitude, 99), iterations=2)
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(tissue))
    fat = magnitude / (1 + np.exp((depth - SCALP) / EDGE))
    return np.asarray(magnitude + fat * (np.exp(1j * np.deg2rad(degrees)) - 1))


def compared(case: Case, image: NDArray[np.inexact]) -> tuple[float, float]:
    magnitude = case.crop(np.abs(image))[None]
    return psnr(case.truth[None], magnitude), ssim(case.truth[None], magnitude)


if __name__ == "__main__":
    main()

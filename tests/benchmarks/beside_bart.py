"""What benchmarks of `fast` beside BART have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.evaluation.cases import Case, Receiver
from gadget.evaluation.methods.with_bart import Bart, BartMaps
from gadget.evaluation.metrics import scores
from gadget.evaluation.sources import find_inputs, load_cases
from gadget.mri.kspace import KSpace

Image = NDArray[np.inexact]


class Comparison:
    """`fast` and BART on the images that the command line names.

    Parameters
    ----------
    description
        What the benchmark measures, for its help.
    """

    def __init__(self, description: str) -> None:
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("data")
        parser.add_argument("--slices", type=int, default=1, help="of each file")
        parser.add_argument("--model", default=DEFAULT_MODEL)
        arguments = parser.parse_args()
        self.cases = [
            case
            for found in find_inputs([arguments.data])
            for case in load_cases(found, arguments.slices, Receiver())
        ]
        self._reconstructor = Reconstructor(SamplerSettings(model=arguments.model))
        maps = BartMaps()
        self._peers = [Bart(penalty, maps) for penalty in ("l1wavelet", "tv")]
        self._scores: dict[str, list[tuple[float, float]]] = {}

    def add_fast(self, name: str, case: Case, kspace: KSpace) -> None:
        """Reconstruct with `fast`."""
        self._add(name, case, [self._reconstructor.reconstruct(kspace).image[0]])

    def add_bart(self, name: str, case: Case, kspace: KSpace) -> None:
        """Reconstruct with the best of BART's settings."""
        images = (one.image for peer in self._peers for one in peer.reconstruct(kspace))
        self._add(name, case, images)

    def _add(self, name: str, case: Case, images: Iterable[Image]) -> None:
        found = (scores(case.truth, case.crop(np.abs(image))) for image in images)
        self._scores.setdefault(name, []).append(max((one.psnr, one.ssim) for one in found))

    def print_means(self, title: str) -> None:
        """Print the means of PSNR and SSIM of all that was added since the last time."""
        for name, pairs in self._scores.items():
            decibels, similarity = np.mean(pairs, axis=0)
            print(f"{title}  {name:22} {decibels:6.2f} dB  {similarity:.3f}", flush=True)
        self._scores.clear()

"""Quality on people whom the prior has not seen, beside conventional reconstructions.

Usage: python tests/benchmarks/quality.py FOLDER [--model NAME] [--slices N] [--peers]

FOLDER holds magnitude volumes (NIfTI). Each volume's middle slices become the truth; eight
simulated coils, a smooth phase and 1 % complex noise make the measurement. SENSE here is the
CG-SENSE of this package with the same self-calibrated coils. With --peers, L1-wavelet and TV of
sigpy run with maps from its ESPIRiT calibration, with the regularisation that suits the case best.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.evaluation.metrics import psnr, ssim
from gadget.mri.fourier import fftc
from gadget.mri.kspace import KSpace
from gadget.mri.patterns import random_lines, uniform_lines
from gadget.mri.scale import image_scale
from gadget.mri.simulation import coil_maps, smooth_phase
from gadget.training.images import load_volumes

NOISE = 0.01
COILS = 8
REGULARISATION = (0.001, 0.003, 0.01)

Mask = NDArray[np.bool_]
PATTERNS: dict[str, Callable[[int, np.random.Generator], Mask]] = {
    "uniform R=4, 8% centre": lambda n, rng: uniform_lines(n, 4, 0.08),
    "random R=4, 8% centre": lambda n, rng: random_lines(n, 4, 0.08, rng),
    "random R=8, 4% centre": lambda n, rng: random_lines(n, 8, 0.04, rng),
}


def truths(folder: Path, count: int) -> list[NDArray[np.float32]]:
    """The middle slices of every volume, even-sized, bright tissue near 1."""
    images = []
    for volume in load_volumes(folder):
        middle = len(volume) // 2
        for image in volume[middle : middle + count]:
            height, width = (n - n % 2 for n in image.shape)
            image = image[:height, :width].astype(np.float32)
            images.append(image / np.float32(image_scale(image)))
    return images


def measure(truth: NDArray[np.float32], lines: Mask, rng: np.random.Generator) -> KSpace:
    """One simulated scan of `truth` with the given phase-encoding lines."""
    maps = coil_maps(COILS, truth.shape)
    kspace = fftc(maps * (truth * smooth_phase(truth.shape, rng)))
    noise = rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape)
    mask = np.broadcast_to(lines[:, None], truth.shape)
    data = ((kspace + NOISE * np.sqrt(0.5) * noise) * mask).astype(np.complex64)
    return KSpace(data[:, None], mask[None].astype(np.float32))


def peers(kspace: KSpace, truth: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """sigpy's compressed sensing, with the best regularisation for this very case."""
    import sigpy.mri as mri

    data = kspace.data[:, 0]
    maps = mri.app.EspiritCalib(data, show_pbar=False).run()
    scale = np.percentile(np.abs(mri.app.SenseRecon(data, maps, show_pbar=False).run()), 99)
    best = {}
    for name, app in (("L1-wavelet", mri.app.L1WaveletRecon), ("TV", mri.app.TotalVariationRecon)):
        images = [
            np.abs(app(data / scale, maps, lamda=lam, max_iter=100, show_pbar=False).run()) * scale
            for lam in REGULARISATION
        ]
        best[name] = max(images, key=lambda image: psnr(truth[None], image[None]))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="brain-small")
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()

    images = truths(arguments.folder, arguments.slices)
    methods = {
        name: Reconstructor(SamplerSettings(method=name, model=arguments.model))
        for name in ("fft", "sense", "fast")
    }
    scores: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (pattern, draw), (seed, truth) in itertools.product(PATTERNS.items(), enumerate(images)):
        rng = np.random.default_rng(seed)
        kspace = measure(truth, draw(len(truth), rng), rng)
        results = {
            name: np.abs(method.reconstruct(kspace).image[0]) for name, method in methods.items()
        }
        if arguments.peers:
            results |= peers(kspace, truth)
        for name, image in results.items():
            score = psnr(truth[None], image[None]), ssim(truth[None], image[None])
            scores[pattern, name].append(score)
    print(f"{len(images)} slices, {COILS} coils, noise {NOISE:.0%} of bright tissue")
    for (pattern, name), values in scores.items():
        mean = np.mean(values, axis=0)
        print(f"{pattern:24} {name:12} {mean[0]:6.2f} dB  SSIM {mean[1]:.3f}")


if __name__ == "__main__":
    main()

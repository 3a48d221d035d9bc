"""Seconds, network evaluations and peak memory of a slice, and what the network takes of them.

Usage: python tests/benchmarks/sampler.py [--model NAME] [--device NAME]

The authors of score-MRI call their network for each coil, and for real and imaginary parts one
after the other; the last lines compare that with this package's way on the same network.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable

import numpy as np
import torch
from timed_prior import TimedPrior, now

from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.devices import select_device
from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.prior import Prior
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc
from gadget.mri.phantoms.head import head_slice
from gadget.mri.phantoms.scanner import coil_maps, correlated_noise, smooth_phase
from gadget.mri.sampling.masks import random_lines

CASES = ((256, 8), (320, 15))
MANY_COILS = (256, 64)
WAITING = ((128, 8), (256, 8))
"""Edge and coils of slices that wait, eight of them."""
REPEATS = 3


def scan(size: int, coils: int) -> KSpace:
    """A simulated slice, 1D random sampling R = 4."""
    rng = np.random.default_rng(0)
    image = head_slice((size, size), 240.0, 0.0) * smooth_phase((size, size), rng)
    noise = correlated_noise(np.eye(coils), size * size, rng).reshape(coils, size, size)
    kspace = fftc(coil_maps(coils, (size, size)) * image) + 0.01 * noise
    mask = np.broadcast_to(random_lines(size, 4, 0.08, rng)[:, None], (size, size))
    return KSpace((kspace * mask)[:, None].astype(np.complex64), mask[None].astype(np.float32))


def peak_memory(device: torch.device) -> str:
    """Peak memory of the device, or of this process on a CPU."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of GPU memory"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB in the process"


def best(run: Callable[[], object], device: torch.device) -> float:
    """Shortest time of a few runs [s]."""
    times = []
    for _ in range(REPEATS):
        started = now(device)
        run()
        times.append(now(device) - started)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    plain = load_prior(arguments.model, device)
    settings = SamplerSettings(model=arguments.model, device=arguments.device)
    for size, coils in (*CASES, MANY_COILS):
        print(time_slice(settings, plain, size, coils))
    for size, coils in CASES:
        print(compare_calls(plain, size, coils))
    for size, coils in WAITING:
        print(compare_waiting(Reconstructor(settings, plain), size, coils))


def time_slice(settings: SamplerSettings, plain: Prior, size: int, coils: int) -> str:
    """Reconstruct a slice twice, and time the second one."""
    kspace = scan(size, coils)
    prior = TimedPrior(plain)
    reconstructor = Reconstructor(settings, prior)
    reconstructor.reconstruct(kspace)
    prior.evaluations, prior.seconds = 0, 0.0
    started = now(plain.device)
    result = reconstructor.reconstruct(kspace)
    total = now(plain.device) - started
    return (
        f"fast {size} x {size} x {coils} coils ({result.details['virtual_coils']} virtual ones) on "
        f"{plain.device}: {total:.2f} s, {prior.evaluations} evaluations, "
        f"{prior.seconds / total:.0%} of the time in the network, peak {peak_memory(plain.device)}"
    )


def compare_calls(plain: Prior, size: int, coils: int) -> str:
    """Evaluate the network for all coils at once, and as the authors of score-MRI do."""
    x = torch.randn(coils, size, size, dtype=torch.complex64, device=plain.device)
    together = best(lambda: plain.denoise(x, 0.1), plain.device)
    parts = [part[None] + 0j for image in x for part in (image.real, image.imag)]
    apart = best(lambda: [plain.denoise(part, 0.1) for part in parts], plain.device)
    return (
        f"one score of {coils} coil images: {together:.3f} s at once, {apart:.3f} s coil by coil "
        f"and part by part: ratio {apart / together:.2f}"
    )


def compare_waiting(reconstructor: Reconstructor, size: int, coils: int) -> str:
    """Reconstruct slices that wait, one by one and as many at once as the device takes."""
    kspaces = [scan(size, coils)] * 8
    most = min(len(kspaces), reconstructor.batch_size(kspaces[0]))
    groups = [kspaces[first : first + most] for first in range(0, len(kspaces), most)]
    device = reconstructor.device
    apart = best(lambda: [reconstructor.reconstruct(one) for one in kspaces], device)
    together = best(lambda: [reconstructor.reconstruct_batch(g) for g in groups], device)
    return (
        f"8 slices of {size} x {size} x {coils} coils that wait: {apart:.2f} s one by one, "
        f"{together:.2f} s {most} at once: ratio {apart / together:.2f}"
    )


if __name__ == "__main__":
    main()

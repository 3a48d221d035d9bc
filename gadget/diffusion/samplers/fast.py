"""The default sampler: diffusion of the combined image, coil structure as part of the unknowns.

Few noise levels, started from the conventional image (Chung et al., Come-closer-diffuse-faster,
CVPR 2022). At each level the prior's estimate is pulled to the measured data by the proximal step
of the receiver's noise model (Chung et al., Decomposed diffusion sampler, ICLR 2024), the coil
structure is refitted every other level, and fresh noise of the next level is added (Zhu et al.,
Denoising diffusion models for plug-and-play image restoration, CVPR workshops 2023, zeta = 1).
"""

from __future__ import annotations

import torch

from gadget.diffusion.prior import Prior
from gadget.diffusion.samplers.problem import Problem, Sample, StepReport, complex_noise
from gadget.diffusion.schedule import power_schedule
from gadget.mri.sense import SenseOperator

SIGMA_START = 0.3
"""First noise level: coarse enough to cover aliasing, fine enough to keep what is known."""
SIGMA_END = 0.015
"""Last noise level where the receiver's noise is lower."""
RHO = 7.0
CONSISTENCY_ITERATIONS = 10
REFIT_EVERY = 2
LAST_SIGMA = 1.5
"""Noise level of the last evaluation, in units of the receiver's noise."""
LAST_WEIGHT = 2.0
"""Pull to the last evaluation, relative to the data: its error is below the receiver's noise."""
LEAST_NOISE = 1e-4
"""Noise-free data are taken to have this much: the proximal step needs a finite weight."""


def sample_fast(
    prior: Prior,
    problem: Problem,
    *,
    steps: int,
    samples: int,
    generator: torch.Generator,
    report: StepReport,
) -> Sample:
    """Draw images near the posterior mean, with `steps` evaluations of the prior each."""
    device = problem.data.device
    noise = max(problem.noise_std, LEAST_NOISE)
    coils = problem.coils
    operator = SenseOperator(problem.sampling, coils.maps)
    adjoint = operator.adjoint(problem.data)

    last = max(SIGMA_END, noise)
    levels = power_schedule(max(SIGMA_START, 2 * last), last, steps - 1, RHO)
    image = problem.start.expand(samples, *problem.shape)
    for i, sigma in enumerate(levels):
        noisy = image + sigma * complex_noise(tuple(image.shape), generator, device)
        denoised = prior.denoise(noisy, sigma)
        weight = (noise / sigma) ** 2
        image = operator.regularised_inverse(adjoint, denoised, weight, CONSISTENCY_ITERATIONS)
        report(i + 1, steps)
        if (i + 1) % REFIT_EVERY == 0:
            coils = coils.refitted(image.mean(dim=0), problem.sampling, problem.data)
            operator = SenseOperator(problem.sampling, coils.maps)
            adjoint = operator.adjoint(problem.data)
    # The data bring the receiver's noise back into the image: once more, and no noise added.
    denoised = prior.denoise(image, LAST_SIGMA * noise)
    image = operator.regularised_inverse(adjoint, denoised, LAST_WEIGHT, CONSISTENCY_ITERATIONS)
    report(steps, steps)
    return Sample(image, evaluations=steps)

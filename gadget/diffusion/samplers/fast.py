"""The default sampler: diffusion of the combined image, coil structure as part of the unknowns.

Few noise levels, started from the conventional image (Chung et al., Come-closer-diffuse-faster,
CVPR 2022). At each level the prior's estimate is pulled to the measured data by the proximal step
of the receiver's noise model (Zhu et al., Denoising diffusion models for plug-and-play image
restoration, CVPR workshops 2023; Chung et al., Decomposed diffusion sampler, ICLR 2024), the coil
structure is refitted, and noise of the next level is added, mostly fresh.
"""

from __future__ import annotations

import torch

from gadget.diffusion.prior import Prior
from gadget.diffusion.samplers.problem import Problem, Sample, StepReport, complex_noise
from gadget.diffusion.schedule import power_schedule
from gadget.mri.sense import SenseOperator

SIGMA_START = 0.7
"""First noise level: coarse enough to forget aliasing, fine enough to keep the anatomy."""
SIGMA_END = 0.01
STOCHASTICITY = 0.8
"""Share of the next level's noise that is fresh, in amplitude."""
CONSISTENCY_ITERATIONS = 6
REFIT_EVERY = 5


def sample_fast(
    prior: Prior,
    problem: Problem,
    *,
    steps: int,
    samples: int,
    generator: torch.Generator,
    report: StepReport,
) -> Sample:
    """Draw images from the posterior, with ``steps + 1`` evaluations of the prior each."""
    device = problem.data.device
    noise = max(problem.noise_std, 1e-4)
    coils = problem.coils
    operator = SenseOperator(problem.sampling, coils.maps)
    adjoint = operator.adjoint(problem.data)

    sigmas = power_schedule(SIGMA_START, max(SIGMA_END, noise), steps, rho=7)
    shape = (samples, *problem.shape)
    x = problem.start + sigmas[0] * complex_noise(shape, generator, device)
    image = x
    for i, sigma in enumerate(sigmas):
        denoised = prior.denoise(x, sigma)
        weight = (noise / sigma) ** 2
        image = operator.regularised_inverse(adjoint, denoised, weight, CONSISTENCY_ITERATIONS)
        report(i + 1, steps + 1)
        if i + 1 == steps:
            break
        if i % REFIT_EVERY == REFIT_EVERY - 1:
            coils = coils.refitted(image.mean(dim=0), problem.sampling, problem.data)
            operator = SenseOperator(problem.sampling, coils.maps)
            adjoint = operator.adjoint(problem.data)
        kept = (x - image) / sigma
        fresh = complex_noise(shape, generator, device)
        direction = (1 - STOCHASTICITY**2) ** 0.5 * kept + STOCHASTICITY * fresh
        x = image + sigmas[i + 1] * direction
    final = 1.5 * noise
    denoised = prior.denoise(image, final)
    image = operator.regularised_inverse(
        adjoint, denoised, (noise / final) ** 2, CONSISTENCY_ITERATIONS
    )
    report(steps + 1, steps + 1)
    return Sample(image, evaluations=steps + 1)

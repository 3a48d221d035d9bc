"""The default sampler: diffusion of the combined image, coil structure as part of the unknowns.

Few noise levels, started from the conventional image at a level that its expected error asks for
(Chung et al., Come-closer-diffuse-faster, CVPR 2022). At each level the prior's estimate is pulled
to the measured data by the proximal step of the receiver's noise model (Chung et al., Decomposed
diffusion sampler, ICLR 2024), and noise of the next level is added (Zhu et al., Denoising diffusion
models for plug-and-play image restoration, CVPR workshops 2023). Every other level, coil structure
and intensity scale are found anew from the better image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.diffusion.prior import Prior
from gadget.diffusion.samplers.problem import Problem, Sample, StepReport, complex_noise
from gadget.diffusion.samplers.turns import denoise_turned
from gadget.diffusion.schedule import power_schedule
from gadget.mri.coils import CoilModel
from gadget.mri.expected_error import expected_error
from gadget.mri.scale import image_scale
from gadget.mri.sense import SenseOperator

START = 2.0
"""First noise level, in units of the conventional image's expected error."""
SIGMA_START = (0.2, 1.5)
"""Range of the first noise level."""
SIGMA_END = 0.015
"""Last noise level where the receiver's noise is lower."""
RHO = 7.0
STOCHASTICITY = 0.8
"""Fresh noise, relative to the noise level: the estimate's own error is noise to the prior, too."""
CONSISTENCY_ITERATIONS = (5, 30)
"""Fewest and most conjugate-gradient iterations of a proximal step."""
RELEARN_EVERY = 2
RESCALE = 0.05
"""The scale stays unless it is wrong by more than that share."""
MOST = 2.0
"""Largest change of the scale at once, up or down."""
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
    chain = _Chain(problem, samples)
    for i, sigma in enumerate(chain.levels(steps - 1)):
        fresh = complex_noise(tuple(chain.images.shape), generator, problem.data.device)
        noisy = chain.images + STOCHASTICITY * sigma * fresh
        chain.pull(denoise_turned(prior, noisy, sigma, i), sigma)
        report(i + 1, steps)
        if (i + 1) % RELEARN_EVERY == 0:
            chain.relearn()
    # The data bring the receiver's noise back into the image: once more, and no noise added.
    chain.polish(denoise_turned(prior, chain.images, LAST_SIGMA * chain.noise, 0))
    report(steps, steps)
    return Sample(chain.images * chain.unit, evaluations=steps)


class _Chain:
    """Images `[sample, y, x]` on their way, with the coils and the scale as they are known."""

    def __init__(self, problem: Problem, samples: int) -> None:
        self.unit = 1.0
        """What was 1 to the problem's images is `1 / unit` here."""
        self.images = problem.start.expand(samples, *problem.shape)
        self.noise = max(problem.noise_std, LEAST_NOISE)
        self._sampling = problem.sampling
        self._data = problem.data
        self._learn(problem.coils)

    def levels(self, count: int) -> list[float]:
        """Return `count` noise levels that suit the images to begin with."""
        error = expected_error(self._sampling, self._coils.maps, self.images[0])
        last = max(SIGMA_END, self.noise)
        first = max(min(max(START * error, SIGMA_START[0]), SIGMA_START[1]), 2 * last)
        return power_schedule(first, last, count, RHO)

    def pull(self, denoised: Tensor, sigma: float) -> None:
        """Let the images be the prior's estimate at `sigma` as far as the data leave it open."""
        ratio = sigma / self.noise
        # Conjugate gradients take about as many iterations as the square root of the condition.
        iterations = min(max(round(ratio), CONSISTENCY_ITERATIONS[0]), CONSISTENCY_ITERATIONS[1])
        self._solve(denoised, ratio**-2, iterations)

    def polish(self, denoised: Tensor) -> None:
        """Let the images be the prior's last estimate, and the data within their noise."""
        self._solve(denoised, LAST_WEIGHT, CONSISTENCY_ITERATIONS[0])

    def relearn(self) -> None:
        """Find the coil structure, and a scale that was wrong, from the images as they are."""
        image = self.images.mean(dim=0)
        factor = min(max(image_scale(image.abs().cpu().numpy()), 1 / MOST), MOST)
        if abs(factor - 1) > RESCALE:
            self.unit *= factor
            self.images, image = self.images / factor, image / factor
            self._data = self._data / factor
            self.noise = max(self.noise / factor, LEAST_NOISE)
        self._learn(self._coils.refitted(image, self._sampling, self._data))

    def _learn(self, coils: CoilModel) -> None:
        self._coils = coils
        self._operator = SenseOperator(self._sampling, coils.maps)
        self._adjoint = self._operator.adjoint(self._data)

    def _solve(self, denoised: Tensor, weight: float, iterations: int) -> None:
        operator = self._operator
        self.images = operator.regularised_inverse(self._adjoint, denoised, weight, iterations)

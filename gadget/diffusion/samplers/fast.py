"""The default sampler: diffusion of the combined image, coil sensitivities as part of the unknowns.

Few noise levels, started from the conventional image at a level that its expected error asks for
(Chung et al., Come-closer-diffuse-faster, CVPR 2022). At each level the prior's estimate is pulled
to the measured data by the proximal step of the receiver's noise model (Chung et al., Decomposed
diffusion sampler, ICLR 2024), and noise of the next level is added (Zhu et al., Denoising diffusion
models for plug-and-play image restoration, CVPR workshops 2023). Every other level, coil
sensitivities and intensity scale are found anew from the better image. Without the centre of
k-space, sensitivities and image are found together, at every level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gadget.diffusion.prior import Prior
from gadget.diffusion.progress import Progress
from gadget.diffusion.samplers.highlights import split_highlights
from gadget.diffusion.samplers.problem import Problem, Sample, complex_noise
from gadget.diffusion.samplers.turns import denoise_turned
from gadget.diffusion.schedule import power_schedule
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.joint_step import JointStep
from gadget.mri.conventional.expected_error import expected_error
from gadget.mri.intensity_scale import image_scale
from gadget.mri.operators.sense import SenseOperator

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
MOST_NOISE = 0.5
"""Where the receiver's noise is brighter than that, there is no object to find a scale from: planes
of a volume beside the object are air alone."""
LAST_SIGMA = 1.5
"""Noise level of the last evaluation, in units of the receiver's noise."""
LAST_WEIGHT = 2.0
"""Pull to the last evaluation, relative to the data: its error is below the receiver's noise."""
LEAST_NOISE = 1e-4
"""Noise-free data are taken to have this much: the proximal step needs a finite weight."""


def sample_fast(
    prior: Prior,
    problems: Sequence[Problem],
    *,
    steps: int,
    samples: int,
    seed: int,
    report: Progress,
) -> list[Sample]:
    """Draw images near the posterior mean, with `steps` evaluations of the prior each.

    Parameters
    ----------
    prior
        What is known beforehand.
    problems
        Images of one shape, which go through the prior together; each has the noise that it would
        have alone.
    steps
        Noise levels, and the last evaluation.
    samples, seed, report
        As for every sampler.
    """
    chains = [_Chain(problem, steps - 1, samples, seed) for problem in problems]
    for i in range(steps - 1):
        levels = [chain.levels[i] for chain in chains]
        noisy = [chain.noisy(level) for chain, level in zip(chains, levels, strict=True)]
        estimates = _denoise_together(prior, noisy, levels, i)
        for chain, estimate, level in zip(chains, estimates, levels, strict=True):
            chain.pull(estimate, level)
        report(i + 1, steps)
        if (i + 1) % RELEARN_EVERY == 0:
            for chain in chains:
                chain.relearn()
    # The data bring the receiver's noise back into the image: once more, and no noise added.
    levels = [max(LAST_SIGMA * chain.noise, prior.sigma_min) for chain in chains]
    estimates = _denoise_together(prior, [chain.images for chain in chains], levels, 0)
    for chain, estimate, level in zip(chains, estimates, levels, strict=True):
        chain.polish(estimate, level)
    report(steps, steps)
    return [Sample(chain.images * chain.unit, evaluations=steps) for chain in chains]


def _denoise_together(
    prior: Prior, images: list[Tensor], levels: list[float], number: int
) -> list[Tensor]:
    """Denoise the images `[sample, y, x]` of each problem at its own level, in one batch."""
    together = torch.cat(images)
    each = torch.tensor(levels, dtype=torch.float32, device=together.device)
    each = each.clamp(max=prior.sigma_max).repeat_interleave(len(images[0]))
    seen, highlights = split_highlights(together, each)
    denoised = denoise_turned(prior, seen, each, number) + highlights
    return list(torch.split(denoised, len(images[0])))


class _Chain:
    """Images `[sample, y, x]` on their way, with the coils and the scale as they are known."""

    def __init__(self, problem: Problem, levels: int, samples: int, seed: int) -> None:
        self.unit = 1.0
        """What was 1 to the problem's images is `1 / unit` here."""
        self.images = problem.start.expand(samples, *problem.shape)
        self.noise = max(problem.noise_std, LEAST_NOISE)
        self._sampling = problem.sampling
        self._data = problem.data
        self._joint = (
            None
            if problem.coils.centre_sampled
            else JointStep(problem.sampling, problem.data, problem.shape)
        )
        self._generator = torch.Generator().manual_seed(seed)
        if self.noise > MOST_NOISE:
            self._rescale(self.noise / MOST_NOISE)
        self._learn(problem.coils)
        self.levels = self._suitable_levels(levels)
        """Noise levels."""

    def _suitable_levels(self, count: int) -> list[float]:
        """Return noise levels that suit the images to begin with."""
        error = expected_error(self._sampling, self._coils.maps, self.images[0])
        last = max(SIGMA_END, self.noise)
        first = max(min(max(START * error, SIGMA_START[0]), SIGMA_START[1]), 2 * last)
        return power_schedule(first, last, count, RHO)

    def noisy(self, sigma: float) -> Tensor:
        """Return the images with fresh noise."""
        fresh = complex_noise(tuple(self.images.shape), self._generator, self._data.device)
        return self.images + STOCHASTICITY * sigma * fresh

    def pull(self, denoised: Tensor, sigma: float) -> None:
        """Let the images be the prior's estimate at `sigma` as far as the data leave it open."""
        if self._joint is not None:
            coils, change = self._joint.solve(
                self._coils,
                denoised.mean(dim=0),
                scale=self.unit,
                noise=self.noise,
                sigma=sigma,
            )
            self._learn(coils)
            denoised = denoised + change
        ratio = sigma / self.noise
        # Conjugate gradients take about as many iterations as the square root of the condition.
        iterations = min(max(round(ratio), CONSISTENCY_ITERATIONS[0]), CONSISTENCY_ITERATIONS[1])
        self._solve(denoised, ratio**-2, iterations)

    def polish(self, denoised: Tensor, sigma: float) -> None:
        """Let the images be the prior's last estimate, and the data within their noise."""
        weight = LAST_WEIGHT * (LAST_SIGMA * self.noise / sigma) ** 2
        self._solve(denoised, weight, CONSISTENCY_ITERATIONS[0])

    def relearn(self) -> None:
        """Find a scale that was wrong, and the coil sensitivities, from the images as they are."""
        scale = image_scale(self.images.mean(dim=0).abs().cpu().numpy())
        factor = min(max(scale, 1 / MOST, self.noise / MOST_NOISE), MOST)
        if abs(factor - 1) > RESCALE:
            self._rescale(factor)
        coils = self._coils
        if self._joint is None:
            coils = coils.refitted(self.images.mean(dim=0), self._sampling, self._data)
        self._learn(coils)

    def _rescale(self, factor: float) -> None:
        """Take what was `factor` for 1."""
        self.unit *= factor
        self.images = self.images / factor
        self._data = self._data / factor
        self.noise = max(self.noise / factor, LEAST_NOISE)

    def _learn(self, coils: CoilModel) -> None:
        self._coils = coils
        self._operator = SenseOperator(self._sampling, coils.maps)
        self._adjoint = self._operator.adjoint(self._data)

    def _solve(self, denoised: Tensor, weight: float, iterations: int) -> None:
        operator = self._operator
        self.images = operator.regularised_inverse(self._adjoint, denoised, weight, iterations)

"""The default sampler: diffusion of the combined image, coil sensitivities as part of the unknowns.

Few noise levels, started from the conventional image at a level that its expected error asks for
(Chung et al., Come-closer-diffuse-faster, CVPR 2022). At each level the prior's estimate is made
consistent with the measured data by the proximal step of the receiver's noise model (Chung et al.,
Decomposed diffusion sampler, ICLR 2024), and noise of the next level is added (Zhu et al.,
Denoising diffusion models for plug-and-play image restoration, CVPR workshops 2023). What aliases
into a plausible image decays slowly, and momentum shortens that (Polyak, Some methods of speeding
up the convergence of iteration methods, 1964). It would add up the noise of many levels; antithetic
noise, the negative of that of the level before, cancels instead (Hammersley and Morton, A new Monte
Carlo technique, 1956). Every other level, the intensity scale is refined from the current images,
and where their k-space has a complete centre so are the coil sensitivities. Those of separate
calibration lines stay; without a complete centre in either, sensitivities and image are updated
jointly, at every level. The last levels follow the noise that the data bring into the image, and no
pixel is changed by more than noise can be.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gadget.diffusion.prior import Prior
from gadget.diffusion.progress import ProgressCallback
from gadget.diffusion.samplers.limited_denoiser import LimitedDenoiser
from gadget.diffusion.samplers.problem import Problem, SamplerResult
from gadget.diffusion.schedule import power_schedule
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.joint_step import JointStep
from gadget.mri.conventional.expected_error import expected_error
from gadget.mri.conventional.noise_gain import noise_gain
from gadget.mri.intensity_scale import image_scale
from gadget.mri.noise.complex_noise import complex_noise
from gadget.mri.operators.sense import SenseOperator

START_FACTOR = 2.0
"""First noise level, in units of the initial image's expected error."""
SIGMA_START = (0.2, 1.5)
"""Range of the first noise level."""
SIGMA_END = 0.015
"""Last noise level where the images' noise is lower."""
RHO = 7.0
MOMENTUM = 0.75
"""Share of the last change of the images that is added to them again."""
CONSISTENCY_ITERATIONS = (5, 30)
"""Fewest and most conjugate-gradient iterations of a proximal step."""
REFINE_EVERY = 2
"""Noise levels between refinements of scale and coils."""
SCALE_TOLERANCE = 0.05
"""Smallest relative error of the intensity scale that is corrected."""
MAX_SCALE_CHANGE = 2.0
"""Largest factor that the scale is changed by at once."""
MAX_NOISE = 0.5
"""Largest receiver noise, in units of the scale: in planes beside the object, which are air alone,
the scale follows the noise instead."""
PRIOR_WEIGHT = 0.7
"""Weight of the prior's estimate in a proximal step, 1 for an estimate as far off as what it was
made of. With 0.5, of the level's noise alone, momentum went too far in an image of a knee."""
FINAL_SIGMA = 1.25
"""Noise level of the last evaluation, in units of the images' noise."""
FINAL_WEIGHT = 4.0
"""Weight of the last evaluation relative to the data: its error is below the images' noise."""
MIN_NOISE = 1e-4
"""Noise assumed in noise-free data: the proximal step needs a finite weight."""


def sample_fast(
    prior: Prior,
    problems: Sequence[Problem],
    *,
    steps: int,
    samples: int,
    seed: int,
    report: ProgressCallback,
) -> list[SamplerResult]:
    """Draw images near the posterior mean, with `steps` evaluations of the prior each.

    Parameters
    ----------
    prior
        The denoiser.
    problems
        Images of one shape, which go through the prior together; each has the noise that it would
        have alone.
    steps
        Noise levels, and the last evaluation.
    samples, seed, report
        As for every sampler.

    Raises
    ------
    ReconError
        The prior went astray.
    """
    chains = [_Chain(problem, steps - 1, samples, seed, prior) for problem in problems]
    denoiser = LimitedDenoiser(prior)
    for i in range(steps - 1):
        levels = [chain.levels[i] for chain in chains]
        noisy = [chain.add_noise(i) for chain in chains]
        estimates = denoiser(noisy, levels, i)
        for chain, estimate, level in zip(chains, estimates, levels, strict=True):
            chain.data_consistency(estimate, level)
        report(i + 1, steps)
        if (i + 1) % REFINE_EVERY == 0:
            for chain in chains:
                chain.refine_scale_and_coils()
    # Data consistency brings the receiver's noise back: denoise once more, without added noise.
    levels = [max(FINAL_SIGMA * chain.image_noise, prior.sigma_min) for chain in chains]
    estimates = denoiser([chain.images for chain in chains], levels, 0)
    for chain, estimate, level in zip(chains, estimates, levels, strict=True):
        chain.final_data_consistency(estimate, level)
    denoiser.check()
    report(steps, steps)
    return [
        SamplerResult(chain.result(), evaluations=steps, residual=chain.residual())
        for chain in chains
    ]


class _Chain:
    """State of the sampler for one problem: images `[sample, y, x]`, coils and scale."""

    def __init__(
        self, problem: Problem, levels: int, samples: int, seed: int, prior: Prior
    ) -> None:
        self.scale = 1.0
        """Intensity in the problem's images that is 1 here."""
        self.images = problem.initial_image.expand(samples, *problem.shape)
        self._consistent = self.images
        """The images as data consistency left them, without momentum."""
        self._added_noise: Tensor | None = None
        self.noise = max(problem.noise_std, MIN_NOISE)
        self._sampling = problem.sampling
        self._data = problem.data
        self._centre_sampled = problem.centre_sampled
        self._joint = (
            None
            if problem.coils.from_centre
            else JointStep(problem.sampling, problem.data, problem.coils)
        )
        self._generator = torch.Generator().manual_seed(seed)
        if self.noise > MAX_NOISE:
            self._rescale(self.noise / MAX_NOISE)
        self._coils = problem.coils
        self._operator = SenseOperator(self._sampling, problem.coils.maps)
        self._adjoint = self._operator.adjoint(self._data)
        self._noise_gain = noise_gain(
            self._operator, self._data, self.images, PRIOR_WEIGHT / 2, CONSISTENCY_ITERATIONS[0]
        )
        self.levels = self._noise_levels(levels, prior)

    @property
    def image_noise(self) -> float:
        """Noise that data consistency brings into the images, at a level of the data's noise."""
        return self._noise_gain * self.noise

    def _noise_levels(self, count: int, prior: Prior) -> list[float]:
        """Return noise levels from the expected error of the initial image down to the noise.

        All are ones that the prior knows.
        """
        error = expected_error(self._sampling, self._coils.maps, self.images[0])
        last = min(max(SIGMA_END, self.image_noise, prior.sigma_min), prior.sigma_max)
        first = max(min(max(START_FACTOR * error, SIGMA_START[0]), SIGMA_START[1]), 2 * last)
        return power_schedule(min(first, prior.sigma_max), last, count, RHO)

    def add_noise(self, number: int) -> Tensor:
        """Return the images with the noise of a level, every other time the negated one before.

        The last level has the negated one: what its noise does stays in the image.
        """
        negated = (len(self.levels) - number) % 2 == 1
        if negated and self._added_noise is not None:
            noise = -self._added_noise
        else:
            noise = complex_noise(tuple(self.images.shape), self._generator, self._data.device)
        self._added_noise = noise
        return self.images + self.levels[number] * noise

    def data_consistency(self, denoised: Tensor, sigma: float) -> None:
        """Set the images to the prior's estimate at `sigma`, made consistent with the data."""
        if self._joint is not None:
            coils, change = self._joint.solve(
                self._coils,
                denoised.mean(dim=0),
                scale=self.scale,
                noise=self.noise,
                sigma=sigma,
            )
            self._set_coils(coils)
            denoised = denoised + change
        ratio = sigma / self.noise
        # Conjugate gradients take about as many iterations as the square root of the condition.
        iterations = min(max(round(ratio), CONSISTENCY_ITERATIONS[0]), CONSISTENCY_ITERATIONS[1])
        # The estimate was made of an image with the noise of the level and the receiver's.
        self._solve(denoised, PRIOR_WEIGHT / (ratio**2 + 1), iterations)
        change = self.images - self._consistent
        self._consistent = self.images
        self.images = self.images + MOMENTUM * change

    def final_data_consistency(self, denoised: Tensor, sigma: float) -> None:
        """Set the images to the prior's last estimate, within the noise of the data."""
        weight = FINAL_WEIGHT * (FINAL_SIGMA * self.image_noise / sigma) ** 2
        self._solve(denoised, weight, CONSISTENCY_ITERATIONS[0])

    def refine_scale_and_coils(self) -> None:
        """Refine the intensity scale from the current images, and where their centre is measured
        the coil sensitivities.
        """
        scale = image_scale(self.images.mean(dim=0).abs().cpu().numpy())
        factor = min(max(scale, 1 / MAX_SCALE_CHANGE, self.noise / MAX_NOISE), MAX_SCALE_CHANGE)
        if abs(factor - 1) > SCALE_TOLERANCE:
            self._rescale(factor)
        coils = self._coils
        if self._centre_sampled:
            coils = coils.refitted(self.images.mean(dim=0), self._sampling, self._data)
        self._set_coils(coils)

    def result(self) -> Tensor:
        """Return the images within the field of view, in the problem's units."""
        return self.scale * self._operator.within_field_of_view(self.images)

    def residual(self) -> float:
        """Return what the images leave of the measured data, in units of the noise."""
        rest = self._operator.forward(self.images.mean(dim=0)) - self._data
        mask = self._sampling.mask.expand(rest.shape)
        power = rest[mask].abs().square().mean() / (2 * self.noise**2)
        return float(power.sqrt())

    def _rescale(self, factor: float) -> None:
        """Divide all intensities by `factor`."""
        self.scale *= factor
        self.images = self.images / factor
        self._consistent = self._consistent / factor
        self._data = self._data / factor
        self.noise = max(self.noise / factor, MIN_NOISE)

    def _set_coils(self, coils: CoilModel) -> None:
        self._coils = coils
        self._operator.replace_maps(coils.maps)
        self._adjoint = self._operator.adjoint(self._data)

    def _solve(self, denoised: Tensor, weight: float, iterations: int) -> None:
        operator = self._operator
        self.images = operator.regularised_inverse(self._adjoint, denoised, weight, iterations)

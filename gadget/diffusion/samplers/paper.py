"""The published samplers, for comparison with the literature.

Chung and Ye, Score-based diffusion models for accelerated MRI, Med Image Anal 2022,
doi:10.1016/j.media.2022.102479: Algorithm 4 (SSOS) samples every coil image on its own, Algorithm 5
(hybrid) adds a joint step every m noise levels. Four things differ from the published code: the
coil sensitivities are estimated from the coil images of the iteration instead of a fully sampled
scan; data consistency knows the receiver's noise instead of imposing it on the image, and has the
weight lambda for coil images, too; a Langevin step has one length for all coil images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.diffusion.prior import Prior
from gadget.diffusion.progress import ProgressCallback
from gadget.diffusion.samplers.problem import Problem, SamplerResult
from gadget.diffusion.schedule import geometric_schedule
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.noise.complex_noise import complex_noise
from gadget.mri.operators.sense import SenseOperator, combine


def sample_paper(
    prior: Prior,
    problem: Problem,
    *,
    steps: int,
    corrector_steps: int,
    joint_every: int,
    lam: tuple[float, float],
    snr: float,
    samples: int,
    seed: int,
    report: ProgressCallback,
) -> SamplerResult:
    """Draw images with the predictor-corrector scheme, all coils in one batch.

    Parameters
    ----------
    prior, problem
        The denoiser, and the measurement.
    steps
        Noise levels N.
    corrector_steps
        Langevin corrections M at each level.
    joint_every
        The m of Algorithm 5; 0 for Algorithm 4.
    lam
        Weight of data consistency at the first and at the last level, linear between.
    snr
        Signal-to-noise ratio r of a Langevin correction.
    samples, seed, report
        As for every sampler.
    """
    generator = torch.Generator().manual_seed(seed)
    images = []
    for sample in range(samples):
        chain = _Chain(prior, problem, steps, generator)
        for i in range(steps):
            weight = lam[0] + (lam[1] - lam[0]) * i / max(1, steps - 1)
            chain.predict(i)
            chain.data_consistency(i, weight)
            for _ in range(corrector_steps):
                chain.correct(i, snr)
                chain.data_consistency(i, weight)
            if joint_every and (i + 1) % joint_every == 0:
                chain.joint_step(i, weight)
            report(sample * steps + i + 1, samples * steps)
        images.append(chain.combined())
    return SamplerResult(
        torch.stack(images), evaluations=steps * (1 + corrector_steps) * len(problem.data)
    )


class _Chain:
    """State of the sampler: coil images `[coil, y, x]`, and the coil sensitivities."""

    def __init__(
        self, prior: Prior, problem: Problem, steps: int, generator: torch.Generator
    ) -> None:
        self.prior = prior
        self.problem = problem
        self.generator = generator
        self.sigmas = geometric_schedule(prior.sigma_max, prior.sigma_min, steps)
        self.coils: CoilModel = problem.coils
        self.x = self.sigmas[0] * self._noise()
        self.mean = self.x

    def predict(self, i: int) -> None:
        """Reverse-diffusion predictor (Song et al. 2021, Algorithm 2)."""
        sigma = self.sigmas[i]
        next_sigma = self.sigmas[i + 1] if i + 1 < len(self.sigmas) else 0.0
        gap = sigma**2 - next_sigma**2
        self.mean = self.x + gap * self._score(sigma)
        self.x = self.mean + gap**0.5 * self._noise()

    def correct(self, i: int, snr: float) -> None:
        """Langevin corrector (Song et al. 2021, Algorithm 4)."""
        score = self._score(self.sigmas[i])
        noise = self._noise()
        size = 2 * (snr * torch.linalg.vector_norm(noise) / torch.linalg.vector_norm(score)) ** 2
        self.mean = self.x + size * score
        self.x = self.mean + (2 * size).sqrt() * noise

    def data_consistency(self, i: int, lam: float) -> None:
        """Data consistency of each coil image (Algorithm 4, line 5)."""
        gain = lam * self._data_weight(i)
        self.x = self._data_step(self.x, gain)
        self.mean = self._data_step(self.mean, gain)

    def joint_step(self, i: int, lam: float) -> None:
        """Data consistency of the combined image, with refitted coils (Algorithm 5)."""
        problem = self.problem
        if problem.centre_sampled:
            combined = combine(self.mean, self.coils.maps)
            self.coils = self.coils.refitted(combined, problem.sampling, problem.data)
        maps = self.coils.maps
        operator = SenseOperator(problem.sampling, maps)
        gain = lam * self._data_weight(i)

        def joint_update(coil_images: Tensor) -> Tensor:
            image = combine(coil_images, maps)
            return maps * (image + gain * operator.adjoint(problem.data - operator.forward(image)))

        self.x, self.mean = joint_update(self.x), joint_update(self.mean)

    def combined(self) -> Tensor:
        """The combined image `[y, x]` without the noise of the last step.

        Its magnitude is the root sum of squares of the coil images, its phase that of their
        projection on the coil sensitivities.
        """
        phase = combine(self.mean, self.coils.maps).angle()
        magnitude = torch.linalg.vector_norm(self.mean, dim=0)
        return torch.polar(magnitude, phase)

    def _data_step(self, x: Tensor, gain: float) -> Tensor:
        sampling = self.problem.sampling
        shifted = torch.fft.ifftshift(x, (-2, -1))
        residual = self.problem.data - sampling.forward(shifted)
        return x + gain * torch.fft.fftshift(sampling.adjoint(residual), (-2, -1))

    def _data_weight(self, i: int) -> float:
        """Weight of the data at noise level sigma, which is 1 far above the receiver's noise."""
        return self.sigmas[i] ** 2 / (self.sigmas[i] ** 2 + self.problem.noise_std**2)

    def _score(self, sigma: float) -> Tensor:
        return (self.prior.denoise(self.x, sigma) - self.x) / sigma**2

    def _noise(self) -> Tensor:
        data = self.problem.data
        return complex_noise((len(data), *self.problem.shape), self.generator, data.device)

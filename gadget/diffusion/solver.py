"""One method on one buffer: coil structure, scale and noise of each plane, then the sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from gadget.diffusion.deadline import Deadline, Stopwatch
from gadget.diffusion.prior import Prior
from gadget.diffusion.samplers.fast import sample_fast
from gadget.diffusion.samplers.paper import sample_paper
from gadget.diffusion.samplers.problem import Problem, Sample, StepReport
from gadget.diffusion.settings import SamplerSettings
from gadget.mri import planes
from gadget.mri.calibration import calibrate
from gadget.mri.coils import compress, conventional_image
from gadget.mri.kspace import KSpace
from gadget.mri.noise import estimate_noise_std
from gadget.mri.scale import image_scale
from gadget.mri.sense import SamplingOperator, varying_axes

COMPRESSION_ENERGY = 0.999
"""Share of the signal energy that virtual coils keep."""
SPREAD = {"fast": 3.5, "paper": 1.0}
"""Posterior spread over the spread of a method's samples: those of `fast` lie too near their mean,
because each noise level starts from an estimate and not from a sample. Measured on training
images."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished sampler steps and of all steps of the buffer."""
Details: TypeAlias = dict[str, str | int | float]


class Solver:
    """One method on one buffer, plane by plane.

    Parameters
    ----------
    settings, method
        How to reconstruct; `method` is the settings' own or one that takes its place.
    kspace
        The buffer.
    device
        Where to compute.
    prior
        On the same device; only the samplers need one.
    watch, deadline
        Time of a step, and when the image must be ready.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        method: str,
        kspace: KSpace,
        device: torch.device,
        prior: Prior | None,
        watch: Stopwatch,
        deadline: Deadline,
    ) -> None:
        self.settings = settings
        self.method = method
        self.kspace = kspace
        self.device = device
        self.prior = prior
        self.watch = watch
        self.deadline = deadline
        self.details: Details = {"seed": settings.seed}
        self.noise_std = settings.noise_std or estimate_noise_std(kspace)
        self.details["noise_std"] = self.noise_std
        # One compression for the whole buffer: neighbouring planes stay consistent.
        self.compression = compress(torch.from_numpy(kspace.data), COMPRESSION_ENERGY)
        self.details["virtual_coils"] = len(self.compression)

    def run(self, progress: Progress) -> tuple[NDArray[np.complex64], NDArray[np.float32] | None]:
        """Return the image `[z, y, x]` and, of several samples, the standard deviation."""
        shape = self.kspace.data.shape[1:]
        image = np.zeros(shape, np.complex64)
        several = self.settings.samples > 1 and self.prior is not None
        std = np.zeros(shape, np.float32) if several else None
        problems = list(planes.split(self.kspace.data, self.kspace.weight))
        calibrations = self._calibration_planes(len(problems))
        for index, (plane, calibration) in enumerate(zip(problems, calibrations, strict=True)):

            def report(done: int, steps: int, finished: int = index) -> None:
                self.deadline.check()
                progress(finished * steps + done, len(problems) * steps)

            samples = self._plane(plane, calibration, len(problems) - index, report)
            image[plane.where] = samples.mean(axis=0)
            if std is not None:
                spread = np.std(np.abs(samples), axis=0, ddof=1)
                std[plane.where] = SPREAD[self.method] * spread
        return image, std

    def _calibration_planes(self, count: int) -> list[planes.Plane | None]:
        reference = self.kspace.calibration
        if reference is None:
            return [None] * count
        # Cut along the same axis as the image, whatever their own pattern is.
        return list(planes.split(reference.data, reference.weight, self.kspace.weight))

    def _plane(
        self,
        plane: planes.Plane,
        calibration: planes.Plane | None,
        planes_left: int,
        report: StepReport,
    ) -> NDArray[np.complex64]:
        """Return images `[sample, row, column]` in the scale of the data."""
        if not plane.data.any():
            return np.zeros((self.settings.samples, *plane.weight.shape), np.complex64)
        upright = self.prior is not None and not self.prior.any_orientation
        if not upright and varying_axes(torch.from_numpy(plane.weight > 0)) == (-2,):
            # Fourier transforms of neighbours in memory are several times faster.
            turned = calibration.transposed() if calibration is not None else None
            images = self._plane(plane.transposed(), turned, planes_left, report)
            return images.swapaxes(1, 2)
        before = self.deadline.elapsed
        plane, unit = _near_one(plane)
        data, sampling, kspace, mask = self._measured(plane)
        if calibration is not None and calibration.data.any():
            calibration, _ = _near_one(calibration)
            other, other_sampling, other_kspace, other_mask = self._measured(calibration)
            coils, _ = calibrate(other_kspace, other_sampling, other, other_mask)
            image = conventional_image(sampling, coils.maps, data)
        else:
            coils, image = calibrate(kspace, sampling, data, mask)
        if self.prior is None:
            return (image[None] * unit).cpu().numpy()
        scale = image_scale(image.abs().cpu().numpy())
        averages = float(plane.weight[plane.weight > 0].mean())
        noise = self.noise_std / (2 * averages) ** 0.5 / (unit * scale)
        problem = Problem(data / scale, sampling, coils, image / scale, noise)
        # The conventional image of each plane, should the sampler's come too late.
        spare = (self.deadline.elapsed - before) * planes_left
        samples = self._samples(self.prior, problem, planes_left, spare, report)
        return (samples * (unit * scale)).cpu().numpy()

    def _measured(
        self, plane: planes.Plane
    ) -> tuple[torch.Tensor, SamplingOperator, torch.Tensor, torch.Tensor]:
        kspace = torch.tensordot(self.compression, torch.from_numpy(plane.data), dims=1)
        kspace = kspace.to(self.device)
        mask = torch.from_numpy(plane.weight > 0).to(self.device)
        sampling = SamplingOperator(mask)
        return sampling.hybrid(kspace), sampling, kspace, mask

    def _samples(
        self,
        prior: Prior,
        problem: Problem,
        planes_left: int,
        spare: float,
        report: StepReport,
    ) -> torch.Tensor:
        """Return samples `[sample, y, x]`, as many steps each as there is time for."""
        settings = self.settings

        def run(steps: int, report: StepReport = _silent) -> Sample:
            return self._sample(prior, problem, steps, report)

        kind = (self.method, self.device, len(problem.data), problem.shape, settings.samples)
        steps = self.deadline.plan(settings.step_count, kind, run, 1 / planes_left, spare)
        results: list[Sample] = []
        self.watch.measure(kind, lambda steps: results.append(run(steps, report)), steps)
        self.details |= {
            "steps": steps,
            "evaluations": results[0].evaluations,
            "samples": settings.samples,
            "model": prior.name,
            "model_sha256": prior.sha256,
        }
        return results[0].images

    def _sample(
        self,
        prior: Prior,
        problem: Problem,
        steps: int,
        report: StepReport,
    ) -> Sample:
        settings = self.settings
        generator = torch.Generator().manual_seed(settings.seed)
        if self.method == "fast":
            return sample_fast(
                prior,
                problem,
                steps=steps,
                samples=settings.samples,
                generator=generator,
                report=report,
            )
        return sample_paper(
            prior,
            problem,
            steps=steps,
            corrector_steps=settings.corrector_steps,
            joint_every=settings.joint_every,
            lam=(settings.lam_start, settings.lam_end),
            snr=settings.snr,
            samples=settings.samples,
            generator=generator,
            report=report,
        )


def _near_one(plane: planes.Plane) -> tuple[planes.Plane, float]:
    """Return a plane divided by its largest sample, and that sample's magnitude.

    Data as small as 1e-6 would vanish in the products of four of them that a coil fit makes.
    """
    unit = float(np.abs(plane.data).max())
    return replace(plane, data=plane.data / np.float32(unit)), unit


def _silent(done: int, steps: int) -> None:
    """Report to nobody."""

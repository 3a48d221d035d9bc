"""Run the sampler on the planes of buffers, several planes in a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from gadget.diffusion.deadline import Deadline, StepTimer
from gadget.diffusion.prior import Prior
from gadget.diffusion.progress import ProgressCallback
from gadget.diffusion.samplers.fast import sample_fast
from gadget.diffusion.samplers.paper import sample_paper
from gadget.diffusion.samplers.problem import Problem, SamplerResult
from gadget.diffusion.settings import SamplerSettings
from gadget.diffusion.volume import PlaneProblem, VolumeProblem
from gadget.errors import ReconError

STD_CORRECTION = {"fast": 6.0, "paper": 1.0}
"""Factor from the standard deviation of a method's samples to that of the posterior: samples of
`fast` are too close to their mean, because each noise level starts from an estimate and not from a
sample. Measured on training images."""
MAX_GAIN = 20.0
"""Largest intensity of an image relative to the conventional one, and to the receiver's noise:
beyond it the sampler has diverged."""
PIXELS_ON_CPU = 2**16
"""Pixels that go through the prior in one batch: smaller planes leave cores idle, larger batches
are no faster."""
PIXELS_ON_GPU = 2**20
"""The same on any other device; eight slices of 128 x 128 are 1.12 times as fast on an H100."""


def planes_in_batch(settings: SamplerSettings, device: torch.device, shape: tuple[int, ...]) -> int:
    """Return how many planes of that shape go through the prior in one batch."""
    if settings.method != "fast":
        return 1
    pixels = PIXELS_ON_CPU if device.type == "cpu" else PIXELS_ON_GPU
    return max(1, pixels // (math.prod(shape) * settings.samples))


class Solver:
    """Runs the sampler of the settings on buffers.

    Parameters
    ----------
    settings
        How to reconstruct.
    prior
        The denoiser.
    timer, deadline
        Times of a sampler step, and the time limit.
    """

    def __init__(
        self, settings: SamplerSettings, prior: Prior, timer: StepTimer, deadline: Deadline
    ) -> None:
        self.settings = settings
        self.prior = prior
        self.timer = timer
        self.deadline = deadline

    def run(self, volumes: list[VolumeProblem], progress: ProgressCallback) -> None:
        """Sample every plane of volumes, which are on the prior's device."""
        for volume in volumes:
            volume.reset(self.settings.samples)
        count = sum(map(len, volumes))
        finished = 0
        started = self.deadline.elapsed
        for group in self._groups(volumes):
            after = count - finished - len(group)
            # Time for the conventional image of each plane to come, should the sampler be late.
            reserved_s = (self.deadline.elapsed - started) / len(group) * after
            self._sample_group(group, finished, count, reserved_s, progress)
            finished += len(group)
            started = self.deadline.elapsed

    def _groups(self, volumes: list[VolumeProblem]) -> Iterator[list[PlaneProblem]]:
        """Yield the planes in their order, several of one kind at a time."""
        group: list[PlaneProblem] = []
        for volume in volumes:
            for plane in volume.problems():
                if group and _kind(group[0]) != _kind(plane):
                    yield group
                    group = []
                group.append(plane)
                self.deadline.check()
                most = planes_in_batch(self.settings, self.prior.device, plane.problem.shape)
                if len(group) >= most:
                    yield group
                    group = []
        if group:
            yield group

    def _sample_group(
        self,
        group: list[PlaneProblem],
        finished: int,
        count: int,
        reserved_s: float,
        progress: ProgressCallback,
    ) -> None:
        """Sample planes, in as many steps as there is time for."""
        settings = self.settings
        problems = [plane.problem for plane in group]

        def report(done: int, steps: int) -> None:
            self.deadline.check()
            progress(finished * steps + len(group) * done, count * steps)

        results: list[SamplerResult] = []

        def run(steps: int, report: ProgressCallback) -> None:
            results[:] = self._samples(problems, steps, report)

        coils = sum(len(problem.data) for problem in problems)
        shape, from_centre = _kind(group[0])
        key = (self.prior.device, coils, from_centre, shape, settings.samples, len(group))
        share = len(group) / (count - finished)
        steps = self.deadline.plan(
            settings.step_count(from_centre=from_centre), key, run, share, reserved_s
        )
        self.timer.measure(key, run, steps, report)
        for plane, sample in zip(group, results, strict=True):
            self._store(plane, sample, steps)

    def _store(self, plane: PlaneProblem, sample: SamplerResult, steps: int) -> None:
        problem, settings = plane.problem, self.settings
        expected = max(float(problem.initial_image.abs().max()), problem.noise_std)
        if float(sample.images.abs().max()) > MAX_GAIN * expected:
            raise ReconError(f"the sampler went astray: values above {MAX_GAIN:g} times SENSE's")
        plane.store(sample.images, STD_CORRECTION[settings.method])
        if sample.residual is not None:
            plane.volume.add_residual(sample.residual)
        plane.volume.details |= {
            "steps": steps,
            "evaluations": sample.evaluations,
            "samples": settings.samples,
            "model": self.prior.name,
            "model_sha256": self.prior.sha256,
        }

    def _samples(
        self, problems: list[Problem], steps: int, report: ProgressCallback
    ) -> list[SamplerResult]:
        settings, prior = self.settings, self.prior
        if settings.method == "fast":
            return sample_fast(
                prior,
                problems,
                steps=steps,
                samples=settings.samples,
                seed=settings.seed,
                report=report,
            )
        return [
            sample_paper(
                prior,
                problem,
                steps=steps,
                corrector_steps=settings.corrector_steps,
                joint_every=settings.joint_every,
                lam=(settings.lam_start, settings.lam_end),
                snr=settings.snr,
                samples=settings.samples,
                seed=settings.seed,
                report=report,
            )
            for problem in problems
        ]


def _kind(plane: PlaneProblem) -> tuple[tuple[int, int], bool]:
    """Return what planes of a batch have in common: the shape, and what the steps depend on."""
    return plane.problem.shape, plane.problem.coils.from_centre

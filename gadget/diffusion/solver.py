"""Planes of buffers, several at a time, through the sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from gadget.diffusion.deadline import Deadline, Stopwatch
from gadget.diffusion.prior import Prior
from gadget.diffusion.progress import Progress
from gadget.diffusion.samplers.fast import sample_fast
from gadget.diffusion.samplers.paper import sample_paper
from gadget.diffusion.samplers.problem import Problem, Sample
from gadget.diffusion.settings import SamplerSettings
from gadget.diffusion.volume import PlaneProblem, Volume
from gadget.errors import ReconError

SPREAD = {"fast": 4.0, "paper": 1.0}
"""Posterior spread over the spread of a method's samples: those of `fast` lie too near their mean,
because each noise level starts from an estimate and not from a sample. Measured on training
images."""
MOST_GAIN = 20.0
"""An image that is so many times brighter than the conventional one, and than the receiver's noise,
is no image of the data."""
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
    """The sampler that the settings name, on buffers.

    Parameters
    ----------
    settings
        How to reconstruct.
    prior
        What is known beforehand.
    watch, deadline
        Time of a step, and when the images must be ready.
    """

    def __init__(
        self, settings: SamplerSettings, prior: Prior, watch: Stopwatch, deadline: Deadline
    ) -> None:
        self.settings = settings
        self.prior = prior
        self.watch = watch
        self.deadline = deadline

    def run(self, volumes: list[Volume], progress: Progress) -> None:
        """Solve every plane of volumes, which are on the prior's device."""
        for volume in volumes:
            volume.begin(self.settings.samples)
        count = sum(map(len, volumes))
        finished = 0
        begun = self.deadline.elapsed
        for group in self._groups(volumes):
            after = count - finished - len(group)
            # The conventional image of each plane to come, should the sampler's be late.
            spare = (self.deadline.elapsed - begun) / len(group) * after
            self._sample_group(group, finished, count, spare, progress)
            finished += len(group)
            begun = self.deadline.elapsed

    def _groups(self, volumes: list[Volume]) -> Iterator[list[PlaneProblem]]:
        """Yield the planes in their order, those of one shape several at a time."""
        group: list[PlaneProblem] = []
        for volume in volumes:
            for plane in volume.problems():
                if group and group[0].problem.shape != plane.problem.shape:
                    yield group
                    group = []
                group.append(plane)
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
        spare: float,
        progress: Progress,
    ) -> None:
        """Solve planes, in as many steps as there is time for."""
        settings = self.settings
        problems = [plane.problem for plane in group]

        def report(done: int, steps: int) -> None:
            self.deadline.check()
            progress(finished * steps + len(group) * done, count * steps)

        results: list[Sample] = []

        def run(steps: int, report: Progress) -> None:
            results[:] = self._samples(problems, steps, report)

        coils = sum(len(problem.data) for problem in problems)
        centre_sampled = all(problem.coils.centre_sampled for problem in problems)
        kind = (
            self.prior.device,
            coils,
            centre_sampled,
            problems[0].shape,
            settings.samples,
            len(group),
        )
        share = len(group) / (count - finished)
        steps = self.deadline.plan(
            settings.step_count(centre_sampled=centre_sampled), kind, run, share, spare
        )
        self.watch.measure(kind, run, steps, report)
        for plane, sample in zip(group, results, strict=True):
            problem = plane.problem
            expected = max(float(problem.start.abs().max()), problem.noise_std)
            if float(sample.images.abs().max()) > MOST_GAIN * expected:
                raise ReconError(
                    f"the sampler went astray: values above {MOST_GAIN:g} times SENSE's"
                )
            plane.accept(sample.images, SPREAD[settings.method])
            plane.volume.details |= {
                "steps": steps,
                "evaluations": sample.evaluations,
                "samples": settings.samples,
                "model": self.prior.name,
                "model_sha256": self.prior.sha256,
            }

    def _samples(self, problems: list[Problem], steps: int, report: Progress) -> list[Sample]:
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

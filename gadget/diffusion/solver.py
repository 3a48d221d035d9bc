"""One method on buffers: their planes, several at a time, through the sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

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
from gadget.mri.kspace import KSpace

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
    """One method on buffers.

    Parameters
    ----------
    settings, method
        How to reconstruct; `method` is the settings' own or one that takes its place.
    device
        Where to compute.
    prior
        On the same device; only the samplers need one.
    watch, deadline
        Time of a step, and when the images must be ready.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        method: str,
        device: torch.device,
        prior: Prior | None,
        watch: Stopwatch,
        deadline: Deadline,
    ) -> None:
        self.settings = settings
        self.method = method
        self.device = device
        self.prior = prior
        self.watch = watch
        self.deadline = deadline

    def run(self, kspaces: Sequence[KSpace], progress: Progress) -> list[Volume]:
        """Return a volume for each buffer, with its image."""
        volumes = [self._volume(kspace) for kspace in kspaces]
        count = sum(map(len, volumes))
        finished = 0
        begun = self.deadline.elapsed
        for group in self._groups(volumes):
            if self.prior is None:
                for plane in group:
                    plane.accept(plane.problem.start[None], spread=1.0)
            else:
                # The conventional image of each plane, should the sampler's come too late.
                spare = (self.deadline.elapsed - begun) / len(group) * (count - finished)
                self._sample_group(self.prior, group, finished, count, spare, progress)
            finished += len(group)
            begun = self.deadline.elapsed
        return volumes

    def _volume(self, kspace: KSpace) -> Volume:
        settings, prior = self.settings, self.prior
        samples = settings.samples if prior is not None else 1
        upright = prior is not None and not prior.any_orientation
        volume = Volume(kspace, self.device, settings.noise_std, samples, upright)
        volume.details["seed"] = settings.seed
        return volume

    def _groups(self, volumes: list[Volume]) -> Iterator[list[PlaneProblem]]:
        """Yield the planes in their order, those of one shape several at a time."""
        group: list[PlaneProblem] = []
        for volume in volumes:
            for plane in volume.problems():
                if group and group[0].problem.shape != plane.problem.shape:
                    yield group
                    group = []
                group.append(plane)
                if len(group) >= self._most(plane):
                    yield group
                    group = []
        if group:
            yield group

    def _most(self, plane: PlaneProblem) -> int:
        if self.prior is None:
            return 1
        return planes_in_batch(self.settings, self.device, plane.problem.shape)

    def _sample_group(
        self,
        prior: Prior,
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
            results[:] = self._samples(prior, problems, steps, report)

        coils = sum(len(problem.data) for problem in problems)
        centred = all(problem.coils.centred for problem in problems)
        kind = (
            self.method,
            self.device,
            coils,
            centred,
            problems[0].shape,
            settings.samples,
            len(group),
        )
        share = len(group) / (count - finished)
        steps = self.deadline.plan(settings.step_count(centred=centred), kind, run, share, spare)
        self.watch.measure(kind, run, steps, report)
        for plane, sample in zip(group, results, strict=True):
            problem = plane.problem
            expected = max(float(problem.start.abs().max()), problem.noise_std)
            if float(sample.images.abs().max()) > MOST_GAIN * expected:
                raise ReconError(
                    f"the sampler went astray: values above {MOST_GAIN:g} times SENSE's"
                )
            plane.accept(sample.images, SPREAD[self.method])
            plane.volume.details |= {
                "steps": steps,
                "evaluations": sample.evaluations,
                "samples": settings.samples,
                "model": prior.name,
                "model_sha256": prior.sha256,
            }

    def _samples(
        self, prior: Prior, problems: list[Problem], steps: int, report: Progress
    ) -> list[Sample]:
        settings = self.settings
        if self.method == "fast":
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

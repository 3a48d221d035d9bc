"""Reconstruct an image from a k-space buffer: the entry point of all nodes and commands.

What needs torch is imported in functions: importing it takes a second, and a plain Fourier
transform does without.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gadget.diffusion.deadline import Clock, Deadline, StepTimer
from gadget.diffusion.progress import ProgressCallback, no_progress
from gadget.diffusion.reconstruction import Reconstruction
from gadget.diffusion.settings import SAMPLERS, SamplerSettings
from gadget.errors import (
    OF_THE_WHOLE_SCAN,
    DeadlineError,
    DeviceMemoryError,
    ReconError,
    first_line,
)
from gadget.mri.conventional.root_sum_of_squares import root_sum_of_squares
from gadget.mri.kspace import KSpace

if TYPE_CHECKING:
    import torch

    from gadget.diffusion.prior import Prior
    from gadget.diffusion.volume import VolumeProblem

log = logging.getLogger(__name__)


def _load(model: str, device: torch.device) -> Prior:
    from gadget.diffusion.model_loading import load_prior

    return load_prior(model, device)


class Reconstructor:
    """Reconstruct k-space buffers with one set of settings.

    Parameters
    ----------
    settings
        How to reconstruct.
    prior
        The prior; loaded by its name when the first buffer needs it, if not given.
    clock
        Returns the time [s] that `deadline_s` is measured with.
    load
        Loads a prior by its name to a device.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        prior: Prior | None = None,
        clock: Clock = time.monotonic,
        load: Callable[[str, torch.device], Prior] = _load,
    ) -> None:
        self.settings = settings
        self._load = load
        self._timer = StepTimer(settings.deadline_s, clock)
        if settings.samples > 1 and not settings.needs_prior:
            log.warning(
                "The setting 'samples' is for %s: %s gives one image, without a standard "
                "deviation.",
                " and ".join(SAMPLERS),
                settings.method,
            )
        if prior is not None:
            self.prior = prior

    @cached_property
    def device(self) -> torch.device:
        """The device that the settings name."""
        from gadget.diffusion.devices import select_device

        return select_device(self.settings.device)

    @cached_property
    def prior(self) -> Prior:
        """The prior that the settings name."""
        return self._load(self.settings.model, self.device)

    @cached_property
    def _cpu_prior(self) -> Prior:
        """The prior for buffers that are too large for the device."""
        import torch

        return self._load(self.settings.model, torch.device("cpu"))

    def prepare(self) -> None:
        """Import and load what the settings need; otherwise the first `reconstruct` does.

        Raises
        ------
        ConfigError, WeightsError
            The settings name a device or a model that is not there, or a damaged one.
        """
        if self.settings.method != "fft":
            # Where that fails, it is an error and no reason for a simpler method.
            import gadget.diffusion.solver  # noqa: F401
        if self.settings.needs_prior:
            # A device that is full now may have room later; else the CPU takes over.
            with suppress(DeviceMemoryError):
                _ = self.prior

    def batch_size(self, kspace: KSpace) -> int:
        """Return how many buffers like this one are best reconstructed together."""
        if not self.settings.needs_prior or self.settings.deadline_s is not None:
            return 1
        from gadget.diffusion.solver import planes_in_batch

        return planes_in_batch(self.settings, self.device, kspace.weight.shape)

    def reconstruct(
        self, kspace: KSpace, progress: ProgressCallback = no_progress
    ) -> Reconstruction:
        """Reconstruct one buffer.

        A sampler that fails or would be late costs quality, never the image: CG-SENSE takes its
        place, and root sum of squares the place of that. A wrong device or model is an error at
        once, not a fallback.

        Raises
        ------
        DataError
            All measured samples are NaN or infinite.
        ConfigError, WeightsError
            The settings name a device or a model that is not there, or a damaged one.
        """
        deadline = self._timer.start()
        self.prepare()
        batch = _Batch([kspace.drop_nonfinite()], progress, deadline)
        wanted = self.settings.method
        reasons: list[str] = []
        for method in dict.fromkeys((wanted, "sense", "fft") if wanted != "fft" else ("fft",)):
            try:
                (result,) = self._run_method(method, batch)
            except Exception as error:
                if isinstance(error, OF_THE_WHOLE_SCAN):
                    raise
                log.log(
                    logging.WARNING if isinstance(error, DeadlineError) else logging.ERROR,
                    "%s failed, a simpler method takes over: %s",
                    method,
                    error,
                    exc_info=not isinstance(error, ReconError) or log.isEnabledFor(logging.DEBUG),
                )
                reasons.append(f"{method}: {first_line(error)}")
                continue
            return replace(result, fallback="; ".join(reasons) or None)
        raise ReconError(f"No method could reconstruct the buffer ({'; '.join(reasons)}).")

    def reconstruct_batch(
        self, kspaces: Sequence[KSpace], progress: ProgressCallback = no_progress
    ) -> list[Reconstruction]:
        """Reconstruct several buffers in one batch.

        Raises any error of one of them; then `reconstruct` each on its own.
        """
        deadline = self._timer.start()
        self.prepare()
        finite = [kspace.drop_nonfinite() for kspace in kspaces]
        return self._run_method(self.settings.method, _Batch(finite, progress, deadline))

    def _run_method(self, method: str, batch: _Batch) -> list[Reconstruction]:
        if method == "fft":
            results = [
                Reconstruction(root_sum_of_squares(kspace).astype(np.complex64), None, method)
                for kspace in batch.kspaces
            ]
        else:
            results = [
                Reconstruction(volume.image, volume.std, method, details=volume.details)
                for volume in self._volumes(method, batch)
            ]
        seconds = round(batch.deadline.elapsed, 3)
        return [
            result.with_details(acceleration=round(kspace.acceleration, 3), seconds=seconds)
            for kspace, result in zip(batch.kspaces, results, strict=True)
        ]

    def _volumes(self, method: str, batch: _Batch) -> list[VolumeProblem]:
        """Reconstruct on the device, or on the CPU if one buffer is too large for its memory."""
        import torch

        cpu = torch.device("cpu")
        samples = method in SAMPLERS
        try:
            return self._on_device(self.device, self.prior if samples else None, method, batch)
        except (torch.OutOfMemoryError, DeviceMemoryError) as error:
            if self.device == cpu or len(batch.kspaces) > 1:
                raise
            log.warning("%s is out of memory, the CPU takes over: %s", self.device, error)
        torch.cuda.empty_cache()
        volumes = self._on_device(cpu, self._cpu_prior if samples else None, method, batch)
        for volume in volumes:
            volume.details["device"] = f"cpu, {self.device} was out of memory"
        return volumes

    def _on_device(
        self, device: torch.device, prior: Prior | None, method: str, batch: _Batch
    ) -> list[VolumeProblem]:
        from gadget.diffusion.solver import Solver
        from gadget.diffusion.volume import VolumeProblem

        if device not in batch.volumes:
            keep_orientation = prior is not None and not prior.any_orientation
            # The published sampler has coil images, which fold.
            may_fold = self.settings.method != "paper"
            batch.volumes[device] = [
                VolumeProblem(kspace, device, self.settings.noise_std, keep_orientation, may_fold)
                for kspace in batch.kspaces
            ]
        volumes = batch.volumes[device]
        if prior is None:
            for volume in volumes:
                volume.solve_conventionally(batch.deadline)
        else:
            Solver(self.settings, prior, self._timer, batch.deadline).run(volumes, batch.progress)
        for volume in volumes:
            volume.details["seed"] = self.settings.seed
            if not np.isfinite(volume.image).all():
                raise ReconError(f"{method} gave values that are not finite")
        return volumes


@dataclass
class _Batch:
    """Buffers that are reconstructed together, by one method or, where that fails, by the next."""

    kspaces: list[KSpace]
    progress: ProgressCallback
    deadline: Deadline
    volumes: dict[torch.device, list[VolumeProblem]] = field(default_factory=dict)
    """The buffers prepared for a device, shared by all methods."""

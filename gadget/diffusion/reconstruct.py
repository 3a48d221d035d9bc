"""From a k-space buffer to an image: the one way that every node and command takes.

What needs torch is imported in functions: importing it takes a second, and a plain Fourier
transform does without.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gadget.diffusion.deadline import Clock, Deadline, Stopwatch
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import DeadlineError, DeviceError, ReconError, StreamError, WeightsError
from gadget.mri.kspace import KSpace

if TYPE_CHECKING:
    import torch

    from gadget.diffusion.prior import Prior
    from gadget.diffusion.solver import Details, Progress

log = logging.getLogger(__name__)

SAMPLERS = ("fast", "paper")
Result: TypeAlias = "tuple[NDArray[np.complex64], NDArray[np.float32] | None, Details]"


@dataclass(frozen=True)
class Reconstruction:
    """An image and how it came about."""

    image: NDArray[np.complex64]
    """Combined complex image `[z, y, x]` on the k-space grid, in the scale of the data."""
    std: NDArray[np.float32] | None
    """Posterior standard deviation of the magnitude `[z, y, x]`; absent for a single sample."""
    method: str
    """What made the image; another method than was asked for after a failure."""
    fallback: str | None = None
    """Why it is another method."""
    details: Details = field(default_factory=dict)
    """Steps, evaluations, seed, acceleration, model, seconds: for the image's metadata."""

    @property
    def summary(self) -> str:
        """One line for a log."""
        told = {"method": self.method, **self.details, "fallback": self.fallback}
        return ", ".join(f"{k} {v}" for k, v in told.items() if v is not None)


class Reconstructor:
    """Reconstruct buffers one after the other with one set of settings.

    Parameters
    ----------
    settings
        How to reconstruct.
    prior
        The prior; loaded by its name when the first buffer needs it, if not given.
    clock
        Returns the time [s] that `deadline_s` is measured with.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        prior: Prior | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.settings = settings
        self._watch = Stopwatch(settings.deadline_s, clock)
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
        from gadget.diffusion.model_folder import load_prior

        return load_prior(self.settings.model, self.device)

    def prepare(self) -> None:
        """Import and load what the settings need; `reconstruct` does it, if nobody did before.

        Raises
        ------
        DeviceError, WeightsError
            The settings name a device or a model that is not there.
        """
        if self.settings.method != "fft":
            # Where that fails, it is an error and no reason for a simpler method.
            import gadget.diffusion.solver  # noqa: F401
        if self.settings.method in SAMPLERS:
            _ = self.prior

    def reconstruct(self, kspace: KSpace, progress: Progress | None = None) -> Reconstruction:
        """Reconstruct one buffer.

        A sampler that fails or would be late costs quality, never the image: CG-SENSE takes its
        place, and root sum of squares the place of that. A wrong device or model is an error at
        once, not a fallback.

        Raises
        ------
        DeviceError, WeightsError
            The settings name a device or a model that is not there.
        """
        deadline = self._watch.start()
        self.prepare()
        wanted = self.settings.method
        reasons: list[str] = []
        for method in dict.fromkeys((wanted, "sense", "fft") if wanted != "fft" else ("fft",)):
            try:
                image, std, details = self._with(method, kspace, progress or _silent, deadline)
            except (DeviceError, WeightsError, StreamError):
                raise
            except Exception as error:
                log.log(
                    logging.WARNING if isinstance(error, DeadlineError) else logging.ERROR,
                    "%s failed, a simpler method takes over: %s",
                    method,
                    error,
                    exc_info=not isinstance(error, DeadlineError),
                )
                reasons.append(f"{method}: {_sentence(error)}")
                continue
            details["acceleration"] = round(kspace.acceleration, 3)
            details["seconds"] = round(deadline.elapsed, 3)
            return Reconstruction(image, std, method, "; ".join(reasons) or None, details)
        raise ReconError(f"No method could reconstruct the buffer ({'; '.join(reasons)}).")

    def _with(self, method: str, kspace: KSpace, progress: Progress, deadline: Deadline) -> Result:
        if method == "fft":
            return _fourier(kspace), None, {}
        import torch

        from gadget.diffusion.model_folder import load_prior

        cpu = torch.device("cpu")
        # What comes in place of a sampler that was late must not be stopped by the same deadline.
        if method != self.settings.method:
            deadline = Stopwatch(None, self._watch.clock).start()
        prior = self.prior if method in SAMPLERS else None
        try:
            return self._on(self.device, prior, method, kspace, progress, deadline)
        except torch.OutOfMemoryError as error:
            if self.device == cpu:
                raise
            log.warning("%s is out of memory, the CPU takes over: %s", self.device, error)
        torch.cuda.empty_cache()
        prior = None if prior is None else load_prior(self.settings.model, cpu)
        image, std, details = self._on(cpu, prior, method, kspace, progress, deadline)
        return image, std, details | {"device": f"cpu, {self.device} was out of memory"}

    def _on(
        self,
        device: torch.device,
        prior: Prior | None,
        method: str,
        kspace: KSpace,
        progress: Progress,
        deadline: Deadline,
    ) -> Result:
        from gadget.diffusion.solver import Solver

        solver = Solver(self.settings, method, kspace, device, prior, self._watch, deadline)
        image, std = solver.run(progress)
        if not np.isfinite(image).all():
            raise ReconError(f"{method} gave values that are not finite")
        return image, std, solver.details


def _fourier(kspace: KSpace) -> NDArray[np.complex64]:
    """Root sum of squares of the inverse transform, zeros where nothing was measured."""
    power = np.zeros(kspace.weight.shape, np.float32)
    # One coil at a time fits in the cache. Where k-space has its origin is in the phase only.
    for coil in kspace.data:
        image = np.fft.ifftn(coil, norm="ortho")
        power += image.real**2 + image.imag**2
    return np.fft.fftshift(np.sqrt(power)).astype(np.complex64)


def _silent(done: int, steps: int) -> None:
    """Report to nobody."""


def _sentence(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__

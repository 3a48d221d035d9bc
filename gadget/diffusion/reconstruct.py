"""From a k-space buffer to an image: the one way that every node and command takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from gadget.diffusion.model_folder import load_prior
from gadget.diffusion.prior import Prior
from gadget.diffusion.samplers.fast import sample_fast
from gadget.diffusion.samplers.paper import sample_paper
from gadget.diffusion.samplers.problem import Problem, Sample
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import DeviceError, ReconError, StreamError, WeightsError
from gadget.mri import planes
from gadget.mri.coils import calibrate, compress, conventional_image
from gadget.mri.fourier import ifftc
from gadget.mri.kspace import KSpace
from gadget.mri.noise import estimate_noise_std
from gadget.mri.scale import image_scale
from gadget.mri.sense import SamplingOperator

log = logging.getLogger(__name__)

COMPRESSION_ENERGY = 0.999
"""Share of the signal energy that virtual coils keep."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished sampler steps and of all steps of the buffer."""
Images: TypeAlias = NDArray[np.complex64]


@dataclass(frozen=True)
class Reconstruction:
    """An image and how it came about."""

    image: Images
    """Combined complex image `[z, y, x]` on the k-space grid, in the scale of the data."""
    std: NDArray[np.float32] | None
    """Posterior standard deviation of the magnitude `[z, y, x]`; absent for a single sample."""
    method: str
    """What made the image; another method than was asked for after a failure."""
    fallback: str | None = None
    """Why it is another method."""
    details: dict[str, str | int | float] = field(default_factory=dict)
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
    """

    def __init__(self, settings: SamplerSettings, prior: Prior | None = None) -> None:
        self.settings = settings
        if prior is not None:
            self.prior = prior

    @cached_property
    def device(self) -> torch.device:
        """The device that the settings name."""
        return select_device(self.settings.device)

    @cached_property
    def prior(self) -> Prior:
        """The prior that the settings name."""
        return load_prior(self.settings.model, self.device)

    def reconstruct(self, kspace: KSpace, progress: Progress | None = None) -> Reconstruction:
        """Reconstruct one buffer.

        A sampler that fails costs quality, never the image: CG-SENSE takes its place, and root sum
        of squares the place of that. A wrong device or model is an error at once, not a fallback.

        Raises
        ------
        DeviceError, WeightsError
            The settings name a device or a model that is not there.
        """
        started = time.monotonic()
        wanted = self.settings.method
        if wanted in ("fast", "paper"):
            _ = self.prior
        order = {"fast": ("fast", "sense", "fft"), "paper": ("paper", "sense", "fft")}
        reasons: list[str] = []
        for method in order.get(wanted, (wanted, "fft")):
            try:
                image, std, details = self._with(method, kspace, progress or _silent)
            except (DeviceError, WeightsError, StreamError):
                raise
            except Exception as error:
                log.exception("%s failed, a simpler method takes over", method)
                reasons.append(f"{method}: {_sentence(error)}")
                continue
            details["acceleration"] = round(kspace.acceleration, 3)
            details["seconds"] = round(time.monotonic() - started, 3)
            return Reconstruction(image, std, method, "; ".join(reasons) or None, details)
        raise ReconError(f"No method could reconstruct the buffer ({'; '.join(reasons)}).")

    def _with(
        self, method: str, kspace: KSpace, progress: Progress
    ) -> tuple[Images, NDArray[np.float32] | None, dict[str, str | int | float]]:
        if method == "fft":
            return _fourier(kspace), None, {}
        solver = _Solver(self, method, kspace)
        image, std = solver.run(progress)
        if not np.isfinite(image).all():
            raise ReconError(f"{method} gave values that are not finite")
        return image, std, solver.details


class _Solver:
    """One method on one buffer, plane by plane."""

    def __init__(self, owner: Reconstructor, method: str, kspace: KSpace) -> None:
        self.owner = owner
        self.settings = owner.settings
        self.method = method
        self.device = owner.device
        self.kspace = kspace
        self.details: dict[str, str | int | float] = {"seed": self.settings.seed}
        self.noise_std = self.settings.noise_std or estimate_noise_std(kspace)
        self.details["noise_std"] = self.noise_std
        # One compression for the whole buffer: neighbouring planes stay consistent.
        self.compression = compress(torch.from_numpy(kspace.data), COMPRESSION_ENERGY)
        self.details["virtual_coils"] = len(self.compression)

    def run(self, progress: Progress) -> tuple[Images, NDArray[np.float32] | None]:
        shape = self.kspace.data.shape[1:]
        image = np.zeros(shape, np.complex64)
        several = self.settings.samples > 1 and self.method != "sense"
        std = np.zeros(shape, np.float32) if several else None
        problems = list(planes.split(self.kspace.data, self.kspace.weight))
        calibrations = self._calibration_planes(len(problems))
        for index, (plane, calibration) in enumerate(zip(problems, calibrations, strict=True)):

            def report(done: int, steps: int, finished: int = index) -> None:
                progress(finished * steps + done, len(problems) * steps)

            samples = self._plane(plane, calibration, report)
            image[plane.where] = samples.mean(axis=0)
            if std is not None:
                std[plane.where] = np.std(np.abs(samples), axis=0, ddof=1)
        return image, std

    def _calibration_planes(self, count: int) -> list[planes.Plane | None]:
        reference = self.kspace.calibration
        if reference is None:
            return [None] * count
        # Cut along the same axis as the image, whatever their own pattern is.
        return list(planes.split(reference.data, reference.weight, self.kspace.weight))

    def _plane(
        self, plane: planes.Plane, calibration: planes.Plane | None, report: Progress
    ) -> NDArray[np.complex64]:
        """Return images `[sample, row, column]` in the scale of the data."""
        if not plane.data.any():
            return np.zeros((self.settings.samples, *plane.weight.shape), np.complex64)
        plane, unit = _near_one(plane)
        data, sampling, kspace, mask = self._measured(plane)
        if calibration is not None and calibration.data.any():
            calibration, _ = _near_one(calibration)
            other, other_sampling, other_kspace, other_mask = self._measured(calibration)
            coils, _ = calibrate(other_kspace, other_sampling, other, other_mask)
            image = conventional_image(sampling, coils.maps, data)
        else:
            coils, image = calibrate(kspace, sampling, data, mask)
        if self.method == "sense":
            return (image[None] * unit).cpu().numpy()
        scale = image_scale(image.abs().cpu().numpy())
        averages = float(plane.weight[plane.weight > 0].mean())
        noise = self.noise_std / (2 * averages) ** 0.5 / (unit * scale)
        problem = Problem(data / scale, sampling, coils, image / scale, noise)
        sample = self._sample(problem, report)
        self.details["evaluations"] = sample.evaluations
        images: NDArray[np.complex64] = (sample.images * (unit * scale)).cpu().numpy()
        return images

    def _measured(
        self, plane: planes.Plane
    ) -> tuple[torch.Tensor, SamplingOperator, torch.Tensor, torch.Tensor]:
        kspace = torch.tensordot(self.compression, torch.from_numpy(plane.data), dims=1)
        kspace = kspace.to(self.device)
        mask = torch.from_numpy(plane.weight > 0).to(self.device)
        sampling = SamplingOperator(mask)
        return sampling.hybrid(kspace), sampling, kspace, mask

    def _sample(self, problem: Problem, report: Progress) -> Sample:
        settings = self.settings
        prior = self.owner.prior
        generator = torch.Generator().manual_seed(settings.seed)
        self.details |= {
            "steps": settings.step_count,
            "samples": settings.samples,
            "model": prior.name,
            "model_sha256": prior.sha256,
        }
        if self.method == "fast":
            return sample_fast(
                prior,
                problem,
                steps=settings.step_count,
                samples=settings.samples,
                generator=generator,
                report=report,
            )
        return sample_paper(
            prior,
            problem,
            steps=settings.step_count,
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


def select_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is CUDA where there is one.

    Raises
    ------
    DeviceError
        There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"'{name}' is no device; expected auto, cpu, cuda or cuda:0, cuda:1, ..."
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"The device '{name}' is not here (CUDA devices found: {torch.cuda.device_count()}); "
            "set device to auto or cpu."
        )
    return device


def _fourier(kspace: KSpace) -> Images:
    """Root sum of squares of the inverse transform, zeros where nothing was measured."""
    coil_images = ifftc(kspace.data, (1, 2, 3))
    return np.sqrt(np.sum(np.abs(coil_images) ** 2, axis=0)).astype(np.complex64)


def _silent(done: int, steps: int) -> None:
    """Report to nobody."""


def _sentence(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__

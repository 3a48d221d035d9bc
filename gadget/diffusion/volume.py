"""A k-space buffer as 2D problems, plane by plane, and the image assembled from their solutions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gadget.diffusion.deadline import Deadline
from gadget.diffusion.samplers.problem import Problem
from gadget.mri.coils.calibration import calibrate
from gadget.mri.coils.compression import compress
from gadget.mri.conventional.cg_sense import conventional_image
from gadget.mri.intensity_scale import image_scale
from gadget.mri.kspace import KSpace
from gadget.mri.noise.level import estimate_noise_std
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import varying_axes
from gadget.mri.planes import Plane, PlaneIndex, split_planes
from gadget.mri.sampling.centre import centre_extent, has_centre
from gadget.mri.sampling.echo import echo_offset, echo_phase

COMPRESSION_ENERGY = 0.9999
"""Share of the signal energy that virtual coils keep: weak ones help to tell aliases apart."""
SIGNAL = 10.0
"""Largest sample of a plane, in units of the noise, that is no noise: planes of noise alone would
reach beyond the field of view, as objects that fold do."""

Details: TypeAlias = dict[str, str | int | float]


class VolumeProblem:
    """One k-space buffer and the image that is reconstructed from it.

    Parameters
    ----------
    kspace
        The buffer.
    device
        Where to compute.
    noise_std
        Of the complex noise in a sample; estimated if not given.
    keep_orientation
        Whether planes keep their orientation; else they are transposed where that is faster.
    may_fold
        Whether images may reach beyond the field of view, where the object does.
    """

    def __init__(
        self,
        kspace: KSpace,
        device: torch.device,
        noise_std: float | None,
        keep_orientation: bool,
        may_fold: bool,
    ) -> None:
        self._shape = kspace.data.shape[1:]
        estimated = estimate_noise_std(kspace)
        self._noise_std = noise_std or estimated
        # One compression for the whole buffer: neighbouring planes stay consistent.
        # Noise that is told too large must not cost coils.
        noise = min(self._noise_std, estimated)
        data, weight = torch.from_numpy(kspace.data), torch.from_numpy(kspace.weight)
        self._compression = compress(data, COMPRESSION_ENERGY, noise, weight)
        self._device = device
        self._keep_orientation = keep_orientation
        self._may_fold = may_fold
        self._planes = [plane for plane in split_planes(kspace) if plane.data.any()]
        self._initial_images: dict[int, NDArray[np.complex64]] = {}
        self.reset(samples=1)

    def __len__(self) -> int:
        """Return the number of planes with data; the image of the others is 0."""
        return len(self._planes)

    def reset(self, samples: int) -> None:
        """Clear the image; every plane will have so many samples."""
        self.image = np.zeros(self._shape, np.complex64)
        """`[z, y, x]`, 0 in planes that are not solved yet."""
        self.std = np.zeros(self._shape, np.float32) if samples > 1 else None
        """Standard deviation of the magnitude over several samples `[z, y, x]`."""
        self.details: Details = {
            "noise_std": self._noise_std,
            "virtual_coils": len(self._compression),
        }
        """For the image's metadata."""

    def add_residual(self, residual: float) -> None:
        """Note what the image of a plane leaves of the data; the metadata have the largest."""
        largest = max(residual, float(self.details.get("residual", 0)))
        self.details["residual"] = round(largest, 2)

    def problems(self) -> Iterator[PlaneProblem]:
        """Yield the problem of one plane after the other, each with its coil sensitivities."""
        for number in range(len(self)):
            yield self._problem(number)

    def solve_conventionally(self, deadline: Deadline) -> None:
        """Set the image to the conventional one, which is reused where a plane has it already.

        Raises
        ------
        DeadlineError
            The time is over, and there is a plane that does not have it.
        """
        self.reset(samples=1)
        for number, plane in enumerate(self._planes):
            if number not in self._initial_images:
                deadline.check()
                self._problem(number)
            self.image[plane.index] = self._initial_images[number]

    def set_plane(self, index: PlaneIndex, samples: np.ndarray, std_factor: float) -> None:
        """Store mean and standard deviation of the samples `[sample, row, column]` of a plane.

        `std_factor` corrects the standard deviation of samples to that of the posterior.
        """
        self.image[index] = samples.mean(axis=0)
        if self.std is not None:
            self.std[index] = std_factor * np.std(np.abs(samples), axis=0, ddof=1)

    def _problem(self, number: int) -> PlaneProblem:
        plane = self._planes[number]
        # Fourier transforms of neighbours in memory are several times faster.
        axes = varying_axes(torch.from_numpy(plane.weight > 0))
        transposed = axes == (-2,) and not self._keep_orientation
        if transposed:
            plane = plane.transposed()
        plane, data_scale = _normalised(plane)
        # The centre of k-space is where calibration looks, and what the prior's images have.
        rows, columns = offset = echo_offset(plane.data, plane.weight > 0)
        if any(offset):
            plane = plane.moved(-rows, -columns)
        measured = self._measured(plane)
        may_fold = self._may_fold and data_scale > SIGNAL * self._noise_std
        coils = calibrate(
            self._calibration_lines(plane) or measured,
            measured.sampling.axes if may_fold else (),
        )
        measured = replace(measured, field_of_view=coils.field_of_view)
        image = conventional_image(measured, coils)
        scale = image_scale(image.abs().cpu().numpy())
        averages = float(plane.weight[plane.weight > 0].mean())
        noise = self._noise_std / (2 * averages) ** 0.5 / (data_scale * scale)
        problem = Problem(
            measured.data / scale,
            measured.sampling,
            coils,
            image / scale,
            noise,
            measured.centre_sampled,
        )
        found = PlaneProblem(self, plane.index, transposed, offset, data_scale * scale, problem)
        self._initial_images[number] = found.to_volume(problem.conventional_image())
        return found

    def _calibration_lines(self, plane: Plane) -> Measurement | None:
        """Return a plane's calibration lines where they tell more of the coils than its image."""
        if plane.calibration is None or not _is_better(plane.calibration, plane):
            return None
        normalised, _ = _normalised(plane.calibration)
        return self._measured(normalised)

    def _measured(self, plane: Plane) -> Measurement:
        kspace = torch.tensordot(self._compression, torch.from_numpy(plane.data), dims=1)
        mask = torch.from_numpy(plane.weight > 0)
        return Measurement(kspace.to(self._device), mask.to(self._device))


@dataclass(frozen=True)
class PlaneProblem:
    """The problem of one plane, in the prior's units."""

    volume: VolumeProblem
    index: PlaneIndex
    transposed: bool
    """Whether rows and columns are exchanged."""
    offset: tuple[int, int]
    """How far the echo was from the centre of the plane's k-space."""
    scale: float
    """Intensity of the buffer that is 1 in the problem."""
    problem: Problem

    def store(self, samples: Tensor, std_factor: float) -> None:
        """Store samples `[sample, row, column]` in the prior's units in the volume."""
        self.volume.set_plane(self.index, self.to_volume(samples), std_factor)

    def to_volume(self, images: Tensor) -> NDArray[np.complex64]:
        """Convert images `[..., row, column]` in the prior's units to the volume's."""
        found: NDArray[np.complex64] = (images * self.scale).cpu().numpy()
        if any(self.offset):
            found = found * echo_phase((found.shape[-2], found.shape[-1]), self.offset)
        return found.swapaxes(-2, -1) if self.transposed else found


def _is_better(calibration: Plane, image: Plane) -> bool:
    """Whether calibration lines hold a larger complete centre of k-space than those of the image.

    Where they are as large they are better: they may have been taken for that alone.
    """
    masks = (calibration.weight > 0, image.weight > 0)
    theirs, ours = ((has_centre(mask), math.prod(centre_extent(mask))) for mask in masks)
    return theirs >= ours and bool(calibration.data.any())


def _normalised(plane: Plane) -> tuple[Plane, float]:
    """Return a plane divided by its largest sample, and that sample's magnitude.

    Data as small as 1e-6 would vanish in the products of four of them that a coil fit makes.
    """
    scale = float(np.abs(plane.data).max())
    return replace(plane, data=plane.data / np.float32(scale)), scale

"""Fully sampled slices with their ground truth, for retrospective undersampling."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.evaluation.metrics import SSIM_WINDOW
from gadget.mri.intensity_scale import image_scale
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.phantoms.scanner import simulate_scan
from gadget.mri.sampling.patterns import Pattern

log = logging.getLogger(__name__)

Magnitude = NDArray[np.float32]


@dataclass(frozen=True)
class Receiver:
    """Simulated receiver for images without raw data."""

    coils: int = 8
    noise: float = 0.01
    """Standard deviation of complex noise in a sample, relative to bright tissue."""
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """One fully sampled slice."""

    name: str
    """Name of the file or phantom."""
    number: int
    """Number of the slice."""
    kspace: NDArray[np.complex64]
    """Whitened k-space `[coil, ky, kx]`: noise of unit variance, E|n|^2 = 1."""
    measured: NDArray[np.bool_]
    """Measured points `[ky, kx]` of the full scan; borders may be zero-filled."""
    truth: Magnitude
    """Root sum of squares `[y, x]` within the window."""
    window: tuple[slice, slice]
    """Field of view that is compared, rows and columns on the grid of k-space."""
    quarter_turns: int = 0
    """Quarter turns that put the image upright."""

    @property
    def title(self) -> str:
        """Name and slice."""
        return f"{self.name}, slice {self.number}"

    def rng(self, seed: int, purpose: str) -> np.random.Generator:
        """Return a random generator for this slice and purpose, independent of other slices."""
        return _rng(seed, f"{self.name} {self.number} {purpose}")

    def undersampled(self, pattern: Pattern, seed: int) -> KSpace:
        """Return the retrospectively undersampled k-space."""
        shape = (self.measured.shape[0], self.measured.shape[1])
        mask = self.measured & pattern.draw(shape, self.rng(seed, pattern.name))
        if not mask.any():
            raise DataError(f"The pattern {pattern.label} measures nothing of {self.title}.")
        return self.masked(mask)

    def masked(self, mask: NDArray[np.bool_]) -> KSpace:
        """Return the k-space of the measured points `mask` `[ky, kx]`."""
        return KSpace((self.kspace * mask)[:, None], mask[None].astype(np.float32))

    def crop(self, image: NDArray[Any]) -> NDArray[Any]:
        """Crop an image `[..., y, x]` to the window that is compared with the truth."""
        rows, columns = self.window
        return image[..., rows, columns]

    def brightened(self, change: NDArray[np.float32]) -> Case:
        """Return the same scan of the object with its intensity multiplied by `1 + change`.

        `change` `[y, x]` covers the grid of k-space.
        """
        added = fftc(ifftc(self.kspace) * change) * self.measured
        return replace(
            self,
            kspace=(self.kspace + added).astype(np.complex64),
            truth=self.truth * (1 + self.crop(change)),
        )


def simulated_case(
    name: str, number: int, image: NDArray[Any], receiver: Receiver, quarter_turns: int = 0
) -> Case:
    """Simulate the scan of an image `[y, x]`, magnitude or complex.

    Raises
    ------
    DataError
        The image is empty, not finite, or too small.
    """
    check_comparable(name, number, image)
    rng = _rng(receiver.seed, f"{name} {number}")
    scale = image_scale(np.abs(image))
    scan = simulate_scan(image / scale, receiver.coils, receiver.noise, rng)
    return Case(
        name=name,
        number=number,
        kspace=scan.kspace,
        measured=np.ones(image.shape, bool),
        truth=scan.truth,
        window=(slice(None), slice(None)),
        quarter_turns=quarter_turns,
    )


def check_comparable(name: str, number: int, image: NDArray[Any]) -> None:
    """Check that images can be compared with a slice.

    Raises
    ------
    DataError
        The image is empty, not finite, or too small.
    """
    if min(image.shape) < SSIM_WINDOW:
        raise DataError(
            f"Slice {number} of '{name}' has {image.shape[0]} x {image.shape[1]} pixels; expected "
            f"at least {SSIM_WINDOW} x {SSIM_WINDOW}, over which SSIM compares."
        )
    if not np.isfinite(image).all() or not image.any():
        raise DataError(f"Slice {number} of '{name}' is empty or holds values that are not finite.")


def usable_cases(file: str, slices: Iterable[Callable[[], Case]]) -> Iterator[Case]:
    """Yield the usable slices of a file; the others are logged at the end.

    Raises
    ------
    DataError
        There is none.
    """
    found = False
    wrong: list[DataError] = []
    for make in slices:
        try:
            case = make()
        except DataError as error:
            wrong.append(error)
            continue
        found = True
        yield case
    if not found:
        raise wrong[0] if wrong else DataError(f"'{file}' holds no slice.")
    for reason in wrong:
        log.error("Left out of '%s': %s", file, reason)


def central_slices(length: int, count: int) -> list[int]:
    """Return `count` slice numbers spread over the central half of `length`, or more of it."""
    count = min(count, length)
    # The middles of equal parts, in whole numbers: rounded, two of them would be one slice.
    twice_span = max(length, 2 * count)
    first = count * (2 * length - twice_span)
    return [(first + (2 * part + 1) * twice_span) // (4 * count) for part in range(count)]


def _rng(seed: int, text: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(text.encode())])

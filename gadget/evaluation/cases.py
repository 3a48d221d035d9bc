"""Fully sampled slices: what is undersampled on purpose, and what should come out."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mri.intensity_scale import image_scale
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.phantoms.scanner import simulate_scan
from gadget.mri.sampling.patterns import Pattern

log = logging.getLogger(__name__)

Magnitude = NDArray[np.float32]


@dataclass(frozen=True)
class Receiver:
    """The simulated scanner that images without raw data are scanned with."""

    coils: int = 8
    noise: float = 0.01
    """Standard deviation of complex noise in a sample, relative to bright tissue."""
    seed: int = 0


@dataclass(frozen=True)
class Case:
    """One completely measured slice."""

    name: str
    """Of its file, or of the phantom."""
    number: int
    """Of the slice."""
    kspace: NDArray[np.complex64]
    """Whitened k-space `[coil, ky, kx]`: noise of unit variance, E|n|^2 = 1."""
    measured: NDArray[np.bool_]
    """Points `[ky, kx]` that the complete scan has; borders may be zero-filled."""
    truth: Magnitude
    """Root sum of squares `[y, x]`, within the field of view that is shown."""
    window: tuple[slice, slice]
    """That field of view on the grid of k-space, rows and columns."""
    turns: int = 0
    """Quarter turns that put the image upright."""

    @property
    def title(self) -> str:
        """Name and slice."""
        return f"{self.name}, slice {self.number}"

    def random(self, seed: int, purpose: str) -> np.random.Generator:
        """Return random numbers that depend on this slice and the purpose, not on other slices."""
        return _random(seed, f"{self.name} {self.number} {purpose}")

    def undersampled(self, pattern: Pattern, seed: int) -> KSpace:
        """Return what a scan with this pattern would have measured."""
        shape = (self.measured.shape[0], self.measured.shape[1])
        mask = self.measured & pattern.draw(shape, self.random(seed, pattern.name))
        if not mask.any():
            raise DataError(f"The pattern {pattern.label} measures nothing of {self.title}.")
        return KSpace((self.kspace * mask)[:, None], mask[None].astype(np.float32))

    def shown(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the part of an image `[..., y, x]` that is compared with the truth."""
        rows, columns = self.window
        return image[..., rows, columns]

    def brightened(self, change: NDArray[np.float32]) -> Case:
        """Return the same scan of an object whose brightness differs by a factor `1 + change`.

        `change` `[y, x]` covers the grid of k-space.
        """
        added = fftc(ifftc(self.kspace) * change) * self.measured
        return replace(
            self,
            kspace=(self.kspace + added).astype(np.complex64),
            truth=self.truth * (1 + self.shown(change)),
        )


def simulated_case(
    name: str, number: int, image: NDArray[Any], receiver: Receiver, turns: int = 0
) -> Case:
    """Scan an image `[y, x]`, a magnitude or complex, with simulated coils.

    Raises
    ------
    DataError
        The image is empty or not finite.
    """
    refuse_empty(name, number, image)
    rng = _random(receiver.seed, f"{name} {number}")
    scale = image_scale(np.abs(image))
    scan = simulate_scan(image / scale, receiver.coils, receiver.noise, rng)
    return Case(
        name=name,
        number=number,
        kspace=scan.kspace,
        measured=np.ones(image.shape, bool),
        truth=scan.truth,
        window=(slice(None), slice(None)),
        turns=turns,
    )


def refuse_empty(name: str, number: int, image: NDArray[Any]) -> None:
    """Check that a slice shows anything at all.

    Raises
    ------
    DataError
        The image is empty or not finite.
    """
    if not np.isfinite(image).all() or not image.any():
        raise DataError(f"Slice {number} of '{name}' is empty or holds values that are not finite.")


def usable(file: str, slices: Iterable[Callable[[], Case]]) -> Iterator[Case]:
    """Yield the slices of a file that can be used; the others are named in the log at the end.

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


def middle(length: int, count: int) -> list[int]:
    """Return `count` numbers of slices, spread over the middle half of `length`, or more of it."""
    count = min(count, length)
    span = max(length / 2, count)
    places = (np.arange(count) + 0.5) / count * span + (length - span) / 2
    return [int(place) for place in places]


def _random(seed: int, text: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(text.encode())])

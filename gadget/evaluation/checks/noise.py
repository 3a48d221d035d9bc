"""Noise check: whether noise and interference are reconstructed as anatomy.

K-space without any object is reconstructed: receiver noise alone, a spike (one sample that is far
too loud, as a bad contact gives), and a tone (interference of one frequency, which draws a line
across the image). A method that invents nothing has no more energy in its image than was measured,
and spreads noise evenly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gadget.errors import ConfigError, DataError
from gadget.evaluation.experiment import first_image
from gadget.evaluation.methods.method import Method
from gadget.mri.kspace import KSpace
from gadget.mri.phantoms.scanner import correlated_noise
from gadget.mri.sampling.patterns import Pattern

log = logging.getLogger(__name__)

SPIKE, TONE = 3000.0, 300.0
"""Amplitude of a spike; amplitude of the pixel that a tone is in one line [noise]."""
FREQUENCY = 0.18
"""Frequency of the tone, in units of the readout's bandwidth."""
BLOCK = 16
"""Edge of the blocks that unevenness is measured in [pixels]."""

KSpaceData = NDArray[np.complex64]


@dataclass(frozen=True)
class NoiseRecord:
    """Result of one method on k-space without an object: a line of the CSV file."""

    content: str
    pattern: str
    method: str
    energy: float
    """Energy of the image relative to that of the measured data; above 1, something was added."""
    unevenness: float
    """Standard deviation over mean of the brightness of blocks of 16 x 16 pixels."""
    brightest: float
    """Brightest pixel over the mean."""


@dataclass(frozen=True)
class NoiseResult:
    """A record and its image."""

    record: NoiseRecord
    pattern: Pattern
    method: Method
    image: NDArray[np.float32]


def noise_results(
    patterns: Sequence[Pattern],
    methods: Sequence[Method],
    coils: int,
    size: tuple[int, int],
    seed: int,
) -> Iterator[NoiseResult]:
    """Yield the results of each method on noise, spike and tone with each pattern.

    Masks from files have the size that they have, others `size`. A pattern that cannot be had of
    that size is left out, which the log says.
    """
    for pattern in patterns:
        shape = pattern.matrix or size
        rng = np.random.default_rng(seed)
        noise = correlated_noise(np.eye(coils, dtype=complex), shape[0] * shape[1], rng)
        try:
            mask = pattern.draw(shape, np.random.default_rng(seed))
            if not mask.any():
                raise DataError(f"It measures nothing of {shape[0]} x {shape[1]} points.")
        except (ConfigError, DataError) as error:
            log.warning("No noise with %s: %s", pattern.label, error)
            continue
        for content, draw in CONTENTS.items():
            complete = noise.reshape(coils, *shape) + draw(coils, mask, np.random.default_rng(seed))
            data = (complete * mask).astype(np.complex64)
            kspace = KSpace(data[:, None], mask[None].astype(np.float32))
            for method in methods:
                image = first_image(content, method, kspace)
                if image is None:
                    continue
                record = NoiseRecord(
                    content=content,
                    pattern=pattern.name,
                    method=method.name,
                    energy=float(np.sum(image.astype(np.float64) ** 2) / np.sum(np.abs(data) ** 2)),
                    unevenness=_unevenness(image),
                    brightest=float(image.max() / image.mean()),
                )
                yield NoiseResult(record, pattern, method, image)


def _noise_only(coils: int, mask: NDArray[np.bool_], rng: np.random.Generator) -> KSpaceData:
    return np.zeros((coils, *mask.shape), np.complex64)


def _spike(coils: int, mask: NDArray[np.bool_], rng: np.random.Generator) -> KSpaceData:
    """Add one spike at a measured point, half way out."""
    rows, columns = np.nonzero(mask)
    middle = np.array(mask.shape) // 2
    radius = np.hypot(rows - middle[0], columns - middle[1])
    at = np.argmin(np.abs(radius - min(mask.shape) / 4))
    spike = np.zeros((coils, *mask.shape), np.complex64)
    spike[:, rows[at], columns[at]] = SPIKE * _gains(coils, rng)
    return spike


def _tone(coils: int, mask: NDArray[np.bool_], rng: np.random.Generator) -> KSpaceData:
    """Add a tone to every readout, with a random phase at its start."""
    height, width = mask.shape
    start_phases, turns = rng.random(height), FREQUENCY * np.arange(width)
    wave = TONE / np.sqrt(width) * np.exp(2j * np.pi * np.add.outer(start_phases, turns))
    return (_gains(coils, rng)[:, None, None] * wave).astype(np.complex64)


def _gains(coils: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return the gain of each coil, of unit energy in total."""
    gains = rng.uniform(0.5, 1, coils) * np.exp(2j * np.pi * rng.random(coils))
    return np.asarray(gains / np.linalg.norm(gains))


def _unevenness(image: NDArray[np.float32]) -> float:
    height, width = (n // BLOCK for n in image.shape)
    cut = image[: height * BLOCK, : width * BLOCK].astype(np.float64)
    power = (cut**2).reshape(height, BLOCK, width, BLOCK).mean(axis=(1, 3))
    return float(np.sqrt(power).std() / np.sqrt(power).mean())


CONTENTS: dict[str, Callable[[int, NDArray[np.bool_], np.random.Generator], KSpaceData]] = {
    "noise": _noise_only,
    "spike": _spike,
    "tone": _tone,
}

"""A simulated scanner: receive coils, image phase and correlated noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mri.noise.whitening import NoiseCovariance, whitening_matrix
from gadget.mri.operators.fourier import fftc

NOISE_SCAN = 4096
"""Samples of a noise scan, in every coil."""


def coil_maps(coils: int, shape: tuple[int, int], radius: float = 1.4) -> NDArray[np.complex64]:
    """Return smooth sensitivities `[coil, y, x]` of loops on a circle around the field of view.

    Each loop falls off with the distance to it and turns its phase around it, as the transverse
    field of a wire does. Scaled to ``sum_c |S_c|^2 = 1``.

    Parameters
    ----------
    coils
        Number of loops.
    shape
        Matrix (y, x).
    radius
        Distance of the loops from the centre, in half fields of view.
    """
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    angles = 2 * np.pi * np.arange(coils) / coils
    wires = radius * np.exp(1j * angles)
    offset = (x + 1j * y)[None] - wires[:, None, None]
    maps = np.exp(1j * angles)[:, None, None] * np.conj(offset) / (np.abs(offset) ** 2 + 0.05)
    maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    return maps.astype(np.complex64)


def smooth_phase(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.complex64]:
    """Return a random phase factor `[y, x]` of low order, as off-resonance leaves it."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2, x**2 * y, x * y**2])
    phase = np.tensordot(rng.normal(0, 0.8, len(terms)), terms, axes=1)
    return np.exp(1j * phase).astype(np.complex64)


def noise_covariance(coils: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Return a receiver noise covariance `[coil, coil]` of mean variance 1, with correlations.

    Neighbouring loops share about a quarter of their noise; gains differ by tens of percent.
    """
    distance = np.abs(np.subtract.outer(np.arange(coils), np.arange(coils)))
    distance = np.minimum(distance, coils - distance)
    phase = rng.uniform(0, 2 * np.pi, coils)
    gain = rng.uniform(0.8, 1.25, coils)
    factor = gain * np.exp(1j * phase)
    covariance = factor[:, None] * 0.25**distance * factor.conj()[None, :]
    return np.asarray(covariance / np.mean(gain**2))


def correlated_noise(
    covariance: NDArray[np.complex128], samples: int, rng: np.random.Generator
) -> NDArray[np.complex64]:
    """Draw noise `[coil, sample]` with ``E[n n^H] = covariance``."""
    white = rng.normal(size=(2, len(covariance), samples)) * np.sqrt(0.5)
    noise = np.linalg.cholesky(covariance) @ (white[0] + 1j * white[1])
    return noise.astype(np.complex64)


@dataclass(frozen=True)
class Scan:
    """A complete scan of one slice, whitened: noise of unit variance in every sample."""

    kspace: NDArray[np.complex64]
    """`[coil, ky, kx]`, with its noise."""
    truth: NDArray[np.float32]
    """Root sum of squares of the coil images `[y, x]` without noise, in units of the noise."""


def simulate_scan(image: NDArray[Any], coils: int, noise: float, rng: np.random.Generator) -> Scan:
    """Simulate a scan with correlated receiver noise, and whiten it with a noise scan.

    Parameters
    ----------
    image
        What is scanned `[y, x]`; a real image is given a smooth random phase.
    coils
        Number of receive coils.
    noise
        Standard deviation of complex noise in one sample, in units of the image; correlated and
        of different strength in different coils, as receivers have it.
    rng
        Source of phase and noise.
    """
    shape = (image.shape[0], image.shape[1])
    signal = image if np.iscomplexobj(image) else image * smooth_phase(shape, rng)
    clean = coil_maps(coils, shape) * signal
    covariance = noise_covariance(coils, rng) * noise**2
    measured_covariance = NoiseCovariance(coils)
    measured_covariance.add(correlated_noise(covariance, NOISE_SCAN, rng))
    whitening = whitening_matrix(measured_covariance)
    sample_noise = correlated_noise(covariance, image.size, rng).reshape(clean.shape)
    kspace = np.tensordot(whitening, fftc(clean) + sample_noise, 1)
    truth = np.sqrt((np.abs(np.tensordot(whitening, clean, 1)) ** 2).sum(0))
    return Scan(kspace.astype(np.complex64), truth.astype(np.float32))

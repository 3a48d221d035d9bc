from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gadget.diffusion.networks.unet import UNetConfig
from gadget.diffusion.samplers.problem import Problem
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.conventional.cg_sense import cg_sense_image
from gadget.mri.operators.field_of_view import FieldOfView
from gadget.mri.operators.fourier import fftc
from gadget.mri.operators.sense import SamplingOperator
from gadget.mri.phantoms.scanner import coil_maps, smooth_phase
from gadget.mri.sampling.masks import random_lines, uniform_lines

ORDER = 4


class GaussianPrior:
    """Pixels are independent and normal: the one prior whose denoiser is known exactly.

    `variance` is that of the real and of the imaginary part.
    """

    name = "gaussian"
    sha256 = "0" * 64
    sigma_min = 0.005
    sigma_max = 10.0
    any_orientation = False
    device = torch.device("cpu")

    def __init__(self, mean, variance) -> None:
        self.mean = torch.as_tensor(mean, dtype=torch.complex64)
        self.variance = torch.as_tensor(variance, dtype=torch.float32)
        self.levels: list[float] = []
        self.images = 0

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        assert x.ndim == 3
        assert x.dtype == torch.complex64
        sigma = torch.as_tensor(sigma).reshape(-1, 1, 1)
        self.levels.append(float(sigma.max()))
        self.images += len(x)
        return self.mean + self.variance / (self.variance + sigma**2) * (x - self.mean)


@dataclass(frozen=True)
class GaussianProblem:
    """A measurement, a prior, and the posterior that follows from them exactly."""

    problem: Problem
    prior: GaussianPrior
    truth: np.ndarray
    encoding: np.ndarray
    """`[measurement, pixel]`."""
    data: np.ndarray
    """`[measurement]`."""
    mean: np.ndarray
    """Of the posterior `[y, x]`."""
    std: np.ndarray
    """Of the posterior's complex pixels `[y, x]`."""

    @property
    def spread(self) -> float:
        """Distance of an exact sample from the mean."""
        return float(np.linalg.norm(self.std) / np.linalg.norm(self.mean))

    def distance(self, image) -> float:
        """Distance of an image from the posterior mean, relative to it."""
        return float(np.linalg.norm(np.asarray(image) - self.mean) / np.linalg.norm(self.mean))

    def residual(self, image) -> float:
        """Deviation of the measured points from the measurement, in units of the noise."""
        deviation = self.encoding @ np.asarray(image).ravel() - self.data
        noise = 2**0.5 * self.problem.noise_std
        return float(np.sqrt(np.mean(np.abs(deviation) ** 2)) / noise)

    def without_noise_level(self) -> Problem:
        return replace(self.problem, noise_std=0.0)


def _coils(count: int, shape) -> CoilModel:
    if count == 1:
        coefficients = np.zeros((1, ORDER, ORDER))
        coefficients[0, 0, 0] = 1
    else:
        bases = [
            np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, n), ORDER - 1))[0]
            for n in shape
        ]
        coefficients = bases[0].T @ coil_maps(count, shape) @ bases[1]
    return CoilModel(torch.as_tensor(coefficients, dtype=torch.complex64), FieldOfView(shape))


@pytest.fixture(scope="session")
def gaussian(phantom):
    """Makes a Gaussian problem; everything is computed with dense matrices in double precision."""

    def make(coils=4, acceleration=3, shape=(16, 15), noise=0.02, seed=0) -> GaussianProblem:
        rng = np.random.default_rng(seed)
        if coils > 1:
            lines = uniform_lines(shape[0], acceleration, 6 / shape[0])
        else:
            lines = random_lines(shape[0], 1.3, 0.4, rng)
        mask = np.broadcast_to(lines[:, None], shape).copy()
        head = phantom(shape)
        expected = head * smooth_phase(shape, rng)
        variance = np.where(head > 0, 0.2**2, 0.02**2)
        truth = expected + np.sqrt(variance) * (rng.normal(size=(2, *shape)).T @ [1, 1j]).T
        model = _coils(coils, shape)
        maps = model.maps.numpy().astype(np.complex128)
        pixels = np.eye(mask.size).reshape(-1, 1, *shape)
        encoding = fftc(maps * pixels)[:, :, mask].reshape(mask.size, -1).T
        error = noise * (rng.normal(size=(len(encoding), 2)) @ [1, 1j])
        data = encoding @ truth.ravel() + error

        precision = encoding.conj().T @ encoding / noise**2 + np.diag(1 / variance.ravel())
        surprise = encoding.conj().T @ (data - encoding @ expected.ravel()) / noise**2
        mean = expected + np.linalg.solve(precision, surprise).reshape(shape)
        std = np.sqrt(2 * np.diag(np.linalg.inv(precision)).real).reshape(shape)

        kspace = np.zeros((coils, *shape), np.complex64)
        kspace[:, mask] = data.reshape(coils, -1)
        sampling = SamplingOperator(torch.from_numpy(mask))
        hybrid = sampling.to_hybrid(torch.from_numpy(kspace))
        start = cg_sense_image(sampling, model.maps, hybrid)
        return GaussianProblem(
            problem=Problem(hybrid, sampling, model, start, noise),
            prior=GaussianPrior(expected, variance),
            truth=truth,
            encoding=encoding,
            data=data,
            mean=mean,
            std=std,
        )

    return make


@pytest.fixture(scope="session")
def gaussian_prior():
    return GaussianPrior


@pytest.fixture
def tiny_network() -> UNetConfig:
    return UNetConfig(widths=(8, 8), blocks=1, patch=2, embedding=8)


@pytest.fixture
def model(tmp_path, tiny_models) -> Path:
    """The folder of a complete model, which no search path knows and which may be spoilt."""
    shutil.copytree(tiny_models / "tiny", tmp_path / "models" / "tiny")
    return tmp_path / "models" / "tiny"

"""Image and coil sensitivities together, by Gauss-Newton steps of falling regularisation.

Uecker et al., Image reconstruction by regularized nonlinear inversion: joint estimation of coil
sensitivities and image content, Magn Reson Med 2008, doi:10.1002/mrm.21691. Here the sensitivities
are polynomials, whose higher degrees are what the regularisation holds back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gadget.mri.coils import CoilModel
from gadget.mri.conventional import conventional_image
from gadget.mri.natural_images import natural_amplitudes
from gadget.mri.sense import SamplingOperator, conjugate_gradient

WEIGHT = 1 / 180
"""Regularisation of the first step, relative to the data's mean power; it is halved at each."""
DEGREE_WEIGHT = 0.3
"""How fast the regularisation of coefficients rises with their degree."""


@dataclass(frozen=True)
class Search:
    """How image and coil sensitivities are looked for."""

    order: int
    """Polynomial coefficients along an axis."""
    steps: int
    """Gauss-Newton steps."""
    iterations: int
    """Conjugate-gradient iterations of a step, at most."""
    natural: bool
    """Whether the image is expected to have the spectrum of natural images, or a flat one. Where
    lines near the centre of k-space are missing, the least image would be one without its large
    shapes, and the sensitivities would make up for them."""


def fit_jointly(kspace: Tensor, mask: Tensor, start: CoilModel, search: Search) -> CoilModel:
    """Return the coil sensitivities that explain a measurement together with some image.

    Minimises ``sum_c |M F (S_c m) - y_c|^2 + weight (|V^-1 F m|^2 + |W^-1 s|^2)`` over the image m
    and the coefficients s of the sensitivities S, beginning at `start`; V are the amplitudes that
    are expected of an image. The pull is to zero and not to `start`, which is wrong where an object
    touches the edge of the field of view.

    Parameters
    ----------
    kspace, mask
        Centred k-space `[coil, ky, kx]`, zero where not measured, and its measured points
        `[ky, kx]`.
    start
        A first estimate.
    search
        How to go on from there.
    """
    fit = _JointFit(kspace, mask, start.raised(search.order), search)
    weight = WEIGHT
    for _ in range(search.steps):
        fit.step(weight)
        weight /= 2
    return fit.model


class _JointFit:
    """The unknowns as one vector, as they are known so far.

    ``V^-1 F m`` and ``W^-1 s``: `[ky x kx + coil x degree x degree]`.
    """

    def __init__(self, kspace: Tensor, mask: Tensor, start: CoilModel, search: Search) -> None:
        pixels = mask.numel()
        power = kspace.abs().square().sum().clamp(min=1e-30)
        self._sampling = SamplingOperator(mask)
        self._data = self._sampling.hybrid(kspace * torch.sqrt(pixels / power))
        self._start = start
        self._to_y, self._to_x = start.bases(corner=True)
        degree = torch.arange(start.coefficients.shape[-1], device=mask.device)
        size = torch.hypot(degree[:, None].float(), degree.float())
        # All unknowns then change the data by about as much.
        self._scale = pixels**-0.5 / (1 + DEGREE_WEIGHT * size)
        self._iterations = search.iterations
        flat = torch.ones(start.shape, device=mask.device)
        self._amplitudes = natural_amplitudes(start.shape, mask.device) if search.natural else flat
        image = conventional_image(self._sampling, start.maps, self._data)
        spectrum = _transformed(torch.fft.ifftshift(image)) / self._amplitudes
        coefficients = start.coefficients / self._scale
        # What the image gains the coefficients lose: the same data, regularised evenly.
        energies = [x.abs().square().sum().clamp(min=1e-30) for x in (spectrum, coefficients)]
        balance = (energies[1] / energies[0]) ** 0.25
        self._unknowns = _joined(spectrum * balance, coefficients / balance)

    @property
    def model(self) -> CoilModel:
        """The coil sensitivities."""
        _, coefficients = self._split(self._unknowns)
        return CoilModel(coefficients * self._scale, self._start.shape)

    def step(self, weight: float) -> None:
        """Solve the problem that is linear around the unknowns as they are."""
        sampling = self._sampling
        image, coefficients = self._split(self._unknowns)
        maps = self._maps(coefficients)

        def derivative(change: Tensor) -> Tensor:
            of_image, of_coefficients = self._split(change)
            return sampling.forward(maps * of_image + self._maps(of_coefficients) * image)

        def adjoint(data: Tensor) -> Tensor:
            coil_images = sampling.adjoint(data)
            of_image = (maps.conj() * coil_images).sum(dim=0)
            of_coefficients = self._to_y.mT @ (image.conj() * coil_images) @ self._to_x
            of_spectrum = _transformed(of_image) * self._amplitudes
            return _joined(of_spectrum, of_coefficients * self._scale)

        residual = self._data - sampling.forward(maps * image)
        change = conjugate_gradient(
            lambda x: adjoint(derivative(x)) + weight * x,
            adjoint(residual) - weight * self._unknowns,
            torch.zeros_like(self._unknowns),
            self._iterations,
            dims=(0,),
        )
        self._unknowns = self._unknowns + change

    def _maps(self, coefficients: Tensor) -> Tensor:
        return self._to_y @ (coefficients * self._scale) @ self._to_x.mT

    def _split(self, unknowns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image `[y, x]` and the scaled coefficients."""
        shape = self._start.shape
        spectrum, coefficients = unknowns.tensor_split([shape[0] * shape[1]])
        image = torch.fft.ifft2(spectrum.reshape(shape) * self._amplitudes, norm="ortho")
        return image, coefficients.reshape(self._start.coefficients.shape)


def _transformed(image: Tensor) -> Tensor:
    return torch.fft.fft2(image, norm="ortho")


def _joined(spectrum: Tensor, coefficients: Tensor) -> Tensor:
    return torch.cat([spectrum.flatten(), coefficients.flatten()])

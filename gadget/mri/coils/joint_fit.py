"""Image and coil sensitivities together, by Gauss-Newton steps of falling regularisation.

Uecker et al., Image reconstruction by regularized nonlinear inversion: joint estimation of coil
sensitivities and image content, Magn Reson Med 2008, doi:10.1002/mrm.21691. Here the sensitivities
are polynomials, whose higher degrees are what the regularisation holds back.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.joint_unknowns import JointUnknowns
from gadget.mri.conventional.cg_sense import cg_sense_image
from gadget.mri.conventional.natural_spectrum import natural_amplitudes
from gadget.mri.operators.sense import SamplingOperator

WEIGHT = 1 / 180
"""Regularisation of the first step, relative to the data's mean power; it is halved at each."""


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
    """The unknowns as they are known so far."""

    def __init__(self, kspace: Tensor, mask: Tensor, start: CoilModel, search: Search) -> None:
        pixels = mask.numel()
        power = kspace.abs().square().sum().clamp(min=1e-30)
        self._sampling = SamplingOperator(mask)
        self._data = self._sampling.hybrid(kspace * torch.sqrt(pixels / power))
        self._start = start
        self._iterations = search.iterations
        flat = torch.ones(start.shape, device=mask.device)
        amplitudes = natural_amplitudes(start.shape, mask.device) if search.natural else flat
        self._unknowns = JointUnknowns(start, pixels**-0.5, amplitudes)
        image = cg_sense_image(self._sampling, start.maps, self._data)
        vector = self._unknowns.joined(torch.fft.ifftshift(image), start.coefficients)
        # What the image gains the coefficients lose: the same data, regularised evenly.
        of_image, of_coefficients = self._unknowns.parts(vector)
        energies = [x.abs().square().sum().clamp(min=1e-30) for x in (of_image, of_coefficients)]
        balance = (energies[1] / energies[0]) ** 0.25
        self._vector = torch.cat([of_image * balance, of_coefficients / balance])

    @property
    def model(self) -> CoilModel:
        """The coil sensitivities."""
        _, coefficients = self._unknowns.split(self._vector)
        return CoilModel(coefficients, self._start.shape)

    def step(self, weight: float) -> None:
        """Solve the problem that is linear around the unknowns as they are."""
        image, coefficients = self._unknowns.split(self._vector)
        maps = self._unknowns.maps(coefficients)
        self._vector = self._vector + self._unknowns.change(
            self._sampling,
            maps,
            image,
            self._data - self._sampling.forward(maps * image),
            pull=weight * self._vector,
            weight=weight,
            iterations=self._iterations,
        )

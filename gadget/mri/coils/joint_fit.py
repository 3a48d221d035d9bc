"""Joint fit of image and coil sensitivities by regularised nonlinear inversion (NLINV).

Uecker et al., Image reconstruction by regularized nonlinear inversion: joint estimation of coil
sensitivities and image content, Magn Reson Med 2008, doi:10.1002/mrm.21691. Here the sensitivities
are polynomials, and the regularisation suppresses their higher degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.gauss_newton import GaussNewton
from gadget.mri.coils.joint_unknowns import JointUnknowns
from gadget.mri.conventional.cg_sense import cg_sense_image
from gadget.mri.conventional.natural_spectrum import natural_amplitudes
from gadget.mri.operators.sense import SamplingOperator

WEIGHT = 1 / 180
"""Regularisation of the first step, relative to the data's mean power; it is halved at each."""


@dataclass(frozen=True)
class JointFitSettings:
    """Settings of a joint fit."""

    order: int
    """Polynomial coefficients along an axis."""
    newton_steps: int
    """Gauss-Newton steps."""
    cg_iterations: int
    """Conjugate-gradient iterations of a step, at most."""
    natural_spectrum: bool
    """Whether the image is regularised with the spectrum of natural images, or with a flat one,
    which would suppress low spatial frequencies where lines near the centre of k-space are missing,
    and let the sensitivities make up for them."""


def fit_jointly(
    kspace: Tensor, mask: Tensor, initial: CoilModel, settings: JointFitSettings
) -> CoilModel:
    """Return the coil sensitivities of a joint fit to a measurement.

    Minimises ``sum_c |M F (S_c m) - y_c|^2 + weight (|V^-1 F m|^2 + |W^-1 s|^2)`` over the image m
    and the coefficients s of the sensitivities S, beginning at `initial`; V is the expected
    amplitude spectrum. It is regularised towards zero and not towards `initial`, which is wrong
    where an object touches the edge of the field of view.

    Parameters
    ----------
    kspace, mask
        Centred k-space `[coil, ky, kx]`, zero where not measured, and its measured points
        `[ky, kx]`.
    initial
        An initial estimate.
    settings
        How to fit.
    """
    fit = _JointFit(kspace, mask, initial.with_order(settings.order), settings)
    weight = WEIGHT
    for _ in range(settings.newton_steps):
        fit.step(weight)
        weight /= 2
    return fit.model


class _JointFit:
    """The current iterate of a joint fit."""

    def __init__(
        self, kspace: Tensor, mask: Tensor, initial: CoilModel, settings: JointFitSettings
    ) -> None:
        pixels = mask.numel()
        power = kspace.abs().square().sum().clamp(min=1e-30)
        self._sampling = SamplingOperator(mask, initial.field_of_view)
        self._data = self._sampling.to_hybrid(kspace * torch.sqrt(pixels / power))
        self._initial = initial
        self._cg_iterations = settings.cg_iterations
        flat = torch.ones(initial.shape, device=mask.device)
        amplitudes = (
            natural_amplitudes(initial.shape, mask.device) if settings.natural_spectrum else flat
        )
        self._unknowns = JointUnknowns(initial, pixels**-0.5, amplitudes)
        self._gauss_newton = GaussNewton(self._unknowns, self._sampling)
        image = cg_sense_image(self._sampling, initial.maps, self._data)
        vector = self._unknowns.pack(torch.fft.ifftshift(image), initial.coefficients)
        # Scale image and coefficients to equal energy: the same data, regularised evenly.
        image_part, coefficient_part = self._unknowns.split(vector)
        energies = [x.abs().square().sum().clamp(min=1e-30) for x in (image_part, coefficient_part)]
        balance = (energies[1] / energies[0]) ** 0.25
        self._vector = torch.cat([image_part * balance, coefficient_part / balance])

    @property
    def model(self) -> CoilModel:
        """The coil sensitivities."""
        _, coefficients = self._unknowns.unpack(self._vector)
        return CoilModel(coefficients, self._initial.field_of_view)

    def step(self, weight: float) -> None:
        """Take a Gauss-Newton step."""
        image, coefficients = self._unknowns.unpack(self._vector)
        maps = self._unknowns.maps(coefficients)
        self._vector = self._vector + self._gauss_newton.step(
            maps,
            image,
            self._data - self._sampling.forward(maps * image),
            gradient=weight * self._vector,
            weight=torch.full((), weight, device=image.device),
            iterations=self._cg_iterations,
        )

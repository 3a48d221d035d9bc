"""CG-SENSE and a MAP image with a spectral prior: conventional images, without a network."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.conventional.natural_spectrum import natural_amplitudes
from gadget.mri.operators.conjugate_gradient import ConjugateGradient
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import SamplingOperator, SenseOperator

WEIGHT = 1e-3
"""Tikhonov regularisation, relative to the unit norm of the encoding operator."""
ITERATIONS = 15
SPECTRAL_ITERATIONS = 60
"""Low spatial frequencies converge slowly where few lines around the centre are measured."""


def conventional_image(measured: Measurement, coils: CoilModel) -> Tensor:
    """Return the CG-SENSE image `[y, x]`; the MAP image where the centre is incomplete.

    Parameters
    ----------
    measured
        K-space of one plane.
    coils
        Coil sensitivities, on the field of view of the measurement.
    """
    sampling, maps, data = measured.sampling, coils.maps, measured.data
    if measured.centre_sampled:
        return cg_sense_image(sampling, maps, data)
    # With sensitivities of no centre either, its low spatial frequencies would be wrong.
    start = cg_sense_image(sampling, maps, data) if coils.from_centre else None
    return spectral_prior_image(sampling, maps, data, start)


def cg_sense_image(sampling: SamplingOperator, maps: Tensor, data: Tensor) -> Tensor:
    """Return the CG-SENSE image `[y, x]`.

    Parameters
    ----------
    sampling, data
        The sampling operator and the measured data in its range `[coil, ky, kx]`.
    maps
        Coil sensitivities `[coil, y, x]`, centred.
    """
    operator = SenseOperator(sampling, maps)
    adjoint = operator.adjoint(data)
    return operator.regularised_inverse(adjoint, torch.zeros_like(adjoint), WEIGHT, ITERATIONS)


def spectral_prior_image(
    sampling: SamplingOperator, maps: Tensor, data: Tensor, start: Tensor | None = None
) -> Tensor:
    """Return the MAP image `[y, x]` under a 1/k spectrum, for data without a complete centre.

    Minimises ``|A m - y|^2 + WEIGHT |V^-1 F m|^2``, V being `natural_amplitudes`: more blurred
    where much was measured, but `cg_sense_image` has too little of the low spatial frequencies.
    Parameters as there; `start` is an image to begin with in place of zeros.
    """
    operator = SenseOperator(sampling, maps)
    amplitudes = natural_amplitudes((maps.shape[-2], maps.shape[-1]), maps.device)

    def image(spectrum: Tensor) -> Tensor:
        shifted = torch.fft.ifft2(spectrum * amplitudes, norm="ortho")
        return torch.fft.fftshift(shifted, (-2, -1))

    def adjoint(data: Tensor) -> Tensor:
        shifted = torch.fft.ifftshift(operator.adjoint(data), (-2, -1))
        return torch.fft.fft2(shifted, norm="ortho") * amplitudes

    def normal(spectrum: Tensor) -> Tensor:
        return adjoint(operator.forward(image(spectrum))) + WEIGHT * spectrum

    rhs = adjoint(data)
    if start is None:
        spectrum = torch.zeros_like(rhs)
    else:
        spectrum = torch.fft.fft2(torch.fft.ifftshift(start, (-2, -1)), norm="ortho") / amplitudes
    solver = ConjugateGradient(dims=(-2, -1))
    return image(solver.solve(normal, rhs, spectrum, SPECTRAL_ITERATIONS))

"""Images from measured data and coil maps, with nothing learnt."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.conventional.natural_spectrum import natural_amplitudes
from gadget.mri.operators.conjugate_gradient import conjugate_gradient
from gadget.mri.operators.sense import SamplingOperator, SenseOperator

WEIGHT = 1e-3
"""Pull to zero, relative to the unit norm of the encoding operator."""
ITERATIONS = 15
NATURAL_ITERATIONS = 60
"""Large shapes come late where few lines tell of them."""


def conventional_image(sampling: SamplingOperator, maps: Tensor, data: Tensor) -> Tensor:
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


def natural_image(sampling: SamplingOperator, maps: Tensor, data: Tensor) -> Tensor:
    """Return the image `[y, x]` of the likeliest spectrum, for data without a complete centre.

    Minimises ``|A m - y|^2 + WEIGHT |V^-1 F m|^2``, V being the amplitudes of natural images:
    blurred where much was measured, but with the large shapes that `conventional_image` has too
    little of. Parameters as there.
    """
    operator = SenseOperator(sampling, maps)
    amplitudes = natural_amplitudes((maps.shape[-2], maps.shape[-1]), maps.device)

    def image(spectrum: Tensor) -> Tensor:
        corner = torch.fft.ifft2(spectrum * amplitudes, norm="ortho")
        return torch.fft.fftshift(corner, (-2, -1))

    def adjoint(data: Tensor) -> Tensor:
        corner = torch.fft.ifftshift(operator.adjoint(data), (-2, -1))
        return torch.fft.fft2(corner, norm="ortho") * amplitudes

    right = adjoint(data)
    spectrum = conjugate_gradient(
        lambda x: adjoint(operator.forward(image(x))) + WEIGHT * x,
        right,
        torch.zeros_like(right),
        NATURAL_ITERATIONS,
        dims=(-2, -1),
    )
    return image(spectrum)

"""How much of the receiver's noise data consistency brings into an image."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.noise.complex_noise import complex_noise
from gadget.mri.operators.sense import SenseOperator

SEED = 0


def noise_gain(
    operator: SenseOperator, data: Tensor, images: Tensor, weight: float, iterations: int
) -> float:
    """Return the noise of a regularised image, relative to that of complete data.

    Where the target of the regularisation is free of noise, only what the data determine is noisy.
    That is little of an image that few coils see: one coil has a gain of one over the square root
    of the acceleration.

    Parameters
    ----------
    operator
        The measurement.
    data, images
        Data `[coil, ky, kx]` and images `[sample, y, x]`, for their shapes.
    weight, iterations
        As of `SenseOperator.regularised_inverse`.
    """
    generator = torch.Generator().manual_seed(SEED)
    noise = complex_noise(tuple(data.shape), generator, data.device)
    adjoint = operator.adjoint(noise).expand_as(images)
    found = operator.regularised_inverse(adjoint, torch.zeros_like(images), weight, iterations)
    return (1 + weight) * float((found.abs().square().mean() / 2).sqrt())

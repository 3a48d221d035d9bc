"""Image and coil sensitivities together, a step of a sampler at a time.

Where lines near the centre of k-space are missing, errors of a thousandth of the sensitivities are
errors of a tenth of the image's large shapes. A prior tells which shapes are likely, and by them
the sensitivities are found, as the image is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.coils.calibration_region import Middle
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.joint_unknowns import JointUnknowns
from gadget.mri.operators.sense import SamplingOperator

FREEDOM = 0.02
"""How far a step lets coefficients go, relative to the sensitivities."""
ITERATIONS = 60


class JointStep:
    """A measurement at low resolution, which image and sensitivities must explain together.

    Parameters
    ----------
    sampling, data
        The sampling operator and the measured data in its range `[coil, ky, kx]`.
    shape
        Matrix (y, x).
    """

    def __init__(self, sampling: SamplingOperator, data: Tensor, shape: tuple[int, int]) -> None:
        self._middle = Middle.of(torch.fft.fftshift(sampling.mask.expand(shape)))
        self._sampling = SamplingOperator(self._middle.compared)
        self._data = self._sampling.hybrid(self._middle.cut(sampling.kspace(data)))

    def take(
        self, coils: CoilModel, image: Tensor, *, scale: float, noise: float, sigma: float
    ) -> tuple[CoilModel, Tensor]:
        """Return better sensitivities, and what is to be added to the image.

        One Gauss-Newton step for ``|M F (S m) - y|^2 / noise^2 + |m - image|^2 / sigma^2``, with
        the sensitivities S held to what they were.

        Parameters
        ----------
        coils
            Sensitivities so far.
        image
            The prior's estimate `[y, x]`.
        scale
            What is 1 to the image, in the measured data.
        noise, sigma
            Standard deviations of the receiver's noise and of the estimate, in units of the image.
        """
        low = torch.fft.ifftshift(self._middle.lowered(image))
        near = replace(coils, shape=(low.shape[0], low.shape[1]))
        polynomials = near.polynomials(corner=True)
        power = _power(polynomials)
        maps, divided = polynomials / power, low / power
        norm = divided.abs().square().sum().sqrt().clamp(min=noise)
        unknowns = JointUnknowns(near, 1 / norm, torch.ones_like(power))
        of_image = torch.full((low.numel(),), (noise / sigma) ** 2, device=low.device)
        of_coefficients = (noise / (FREEDOM * norm)).square().expand(coils.coefficients.numel())
        change = unknowns.change(
            self._sampling,
            maps,
            divided,
            self._data / scale - self._sampling.forward(maps * low),
            pull=0.0,
            weight=torch.cat([of_image, of_coefficients]),
            iterations=ITERATIONS,
        )
        image_change, coefficient_change = unknowns.split(change)
        coefficients = coils.coefficients + coefficient_change
        # Sensitivities are normalised: what they gain goes to the image.
        better = (low + image_change) * _power(unknowns.maps(coefficients)) / power
        added = self._middle.raised(torch.fft.fftshift(better - low), coils.shape)
        return replace(coils, coefficients=coefficients), added


def _power(polynomials: Tensor) -> Tensor:
    """Return the root sum of squares `[y, x]` of polynomials `[coil, y, x]`."""
    return polynomials.abs().square().sum(dim=0).sqrt().clamp(min=1e-12)

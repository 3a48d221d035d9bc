"""Joint update of image and coil sensitivities within a sampler, without a complete centre.

Where lines near the centre of k-space are missing, errors of a thousandth of the sensitivities are
errors of a tenth of the image's low spatial frequencies. A prior tells which of those are likely,
and with it the sensitivities can be fitted, too.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.coils.calibration_region import CalibrationRegion
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.gauss_newton import GaussNewton
from gadget.mri.coils.joint_unknowns import JointUnknowns
from gadget.mri.operators.sense import SamplingOperator

COEFFICIENT_STD = 0.02
"""Standard deviation of a step's change of coefficients, relative to the sensitivities."""
ITERATIONS = 60


class JointStep:
    """The joint update for one measurement, on its calibration region.

    Parameters
    ----------
    sampling, data
        The sampling operator and the measured data in its range `[coil, ky, kx]`.
    coils
        Sensitivities, for their matrix and degrees.
    """

    def __init__(self, sampling: SamplingOperator, data: Tensor, coils: CoilModel) -> None:
        self._region = CalibrationRegion.of(torch.fft.fftshift(sampling.mask.expand(coils.shape)))
        self._sampling = SamplingOperator(self._region.fit_mask)
        self._data = self._sampling.to_hybrid(self._region.crop(sampling.to_kspace(data)))
        low_coils = self._at_low_resolution(coils)
        flat = torch.ones(low_coils.shape, device=data.device)
        self._unknowns = JointUnknowns(low_coils, 1.0, flat)
        self._gauss_newton = GaussNewton(self._unknowns, self._sampling)

    def solve(
        self, coils: CoilModel, image: Tensor, *, scale: float, noise: float, sigma: float
    ) -> tuple[CoilModel, Tensor]:
        """Return updated sensitivities, and what is to be added to the image.

        One Gauss-Newton step for ``|M F (S m) - y|^2 / noise^2 + |m - image|^2 / sigma^2``, with
        the sensitivities S regularised towards `coils`.

        Parameters
        ----------
        coils
            Current sensitivities.
        image
            The prior's estimate `[y, x]`.
        scale
            Value in the measured data that is 1 in the image.
        noise, sigma
            Standard deviations of the receiver's noise and of the estimate, in units of the image.
        """
        low_image = torch.fft.ifftshift(self._region.downsample(image))
        polynomials = self._at_low_resolution(coils).polynomials(ifftshift=True)
        power = _power(polynomials)
        maps, scaled_image = polynomials / power, low_image / power
        norm = scaled_image.abs().square().sum().sqrt().clamp(min=noise)
        self._unknowns.set_coefficient_scale(1 / norm)
        image_weight = torch.full(
            (low_image.numel(),), (noise / sigma) ** 2, device=low_image.device
        )
        coefficient_weight = (
            (noise / (COEFFICIENT_STD * norm)).square().expand(coils.coefficients.numel())
        )
        change = self._gauss_newton.step(
            maps,
            scaled_image,
            self._data / scale - self._sampling.forward(maps * low_image),
            gradient=0.0,
            weight=torch.cat([image_weight, coefficient_weight]),
            iterations=ITERATIONS,
        )
        image_change, coefficient_change = self._unknowns.unpack(change)
        coefficients = coils.coefficients + coefficient_change
        # Sensitivities are normalised: their gain goes to the image.
        updated = (low_image + image_change) * _power(self._unknowns.maps(coefficients)) / power
        image_update = self._region.zero_fill(torch.fft.fftshift(updated - low_image), coils.shape)
        return replace(coils, coefficients=coefficients), image_update

    def _at_low_resolution(self, coils: CoilModel) -> CoilModel:
        return replace(coils, field_of_view=self._sampling.field_of_view)


def _power(polynomials: Tensor) -> Tensor:
    """Return the root sum of squares `[y, x]` of polynomials `[coil, y, x]`."""
    return polynomials.abs().square().sum(dim=0).sqrt().clamp(min=1e-12)

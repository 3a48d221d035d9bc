"""The unknowns of a joint fit, image and coil coefficients, and its Gauss-Newton step."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.operators.conjugate_gradient import conjugate_gradient
from gadget.mri.operators.sense import SamplingOperator

DEGREE_WEIGHT = 0.3
"""Rise of the coefficients' regularisation with their degree."""


class JointUnknowns:
    """Image and coefficients as one vector `[ky x kx + coil x degree x degree]`.

    ``V^-1 F m`` and ``W^-1 s``; W lets coefficients of higher degree differ less.

    Parameters
    ----------
    coils
        Sensitivities, for their matrix and degrees.
    coefficient_scale
        W of the degree 0. With one over the image's norm all unknowns are equally well scaled.
    amplitudes
        V `[ky, kx]`: expected amplitude spectrum of the image.
    """

    def __init__(
        self, coils: CoilModel, coefficient_scale: float | Tensor, amplitudes: Tensor
    ) -> None:
        self._shape = coils.shape
        self._coefficients = coils.coefficients.shape
        self._basis_y, self._basis_x = coils.bases(ifftshift=True)
        degree = torch.arange(self._coefficients[-1], device=coils.coefficients.device)
        size = torch.hypot(degree[:, None].float(), degree.float())
        self._coefficient_scales = coefficient_scale / (1 + DEGREE_WEIGHT * size)
        self._amplitudes = amplitudes

    def pack(self, image: Tensor, coefficients: Tensor) -> Tensor:
        """Return the vector of an image `[y, x]`, its origin at index 0, and coefficients."""
        spectrum = torch.fft.fft2(image, norm="ortho") / self._amplitudes
        return torch.cat([spectrum.flatten(), (coefficients / self._coefficient_scales).flatten()])

    def unpack(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and coefficients of a vector."""
        spectrum, scaled = self.split(vector)
        image = spectrum.reshape(self._shape) * self._amplitudes
        coefficients = scaled.reshape(self._coefficients) * self._coefficient_scales
        return torch.fft.ifft2(image, norm="ortho"), coefficients

    def split(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scaled entries of the image, and those of the coefficients."""
        spectrum, scaled = vector.tensor_split([self._shape[0] * self._shape[1]])
        return spectrum, scaled

    def maps(self, coefficients: Tensor) -> Tensor:
        """Return polynomials `[coil, y, x]`."""
        return self._basis_y @ coefficients @ self._basis_x.mT

    def newton_step(
        self,
        sampling: SamplingOperator,
        maps: Tensor,
        image: Tensor,
        residual: Tensor,
        *,
        gradient: Tensor | float,
        weight: Tensor | float,
        iterations: int,
    ) -> Tensor:
        """Return the Gauss-Newton step: solve the problem linearised around the unknowns.

        ``min |M F (S dm + dS m) - r|^2 + weight |d|^2 + 2 <gradient, d>``

        Parameters
        ----------
        sampling
            M and F.
        maps, image
            S `[coil, y, x]` and m `[y, x]`, their origin at index 0. Where S are polynomials that
            are divided by something, so is m.
        residual
            r, in the range of `sampling`.
        gradient, weight
            Of the regularisation, as vectors or the same for all unknowns.
        iterations
            Conjugate-gradient iterations, at most.
        """

        def forward(step: Tensor) -> Tensor:
            image_part, coefficient_part = self.unpack(step)
            return sampling.forward(maps * image_part + self.maps(coefficient_part) * image)

        def adjoint(data: Tensor) -> Tensor:
            coil_images = sampling.adjoint(data)
            image_part = torch.fft.fft2((maps.conj() * coil_images).sum(dim=0), norm="ortho")
            coefficient_part = self._basis_y.mT @ (image.conj() * coil_images) @ self._basis_x
            return torch.cat(
                [
                    (image_part * self._amplitudes).flatten(),
                    (coefficient_part * self._coefficient_scales).flatten(),
                ]
            )

        rhs = adjoint(residual) - gradient
        return conjugate_gradient(
            lambda x: adjoint(forward(x)) + weight * x,
            rhs,
            torch.zeros_like(rhs),
            iterations,
            dims=(0,),
        )

"""Image and coil sensitivities as the unknowns of one problem."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.operators.conjugate_gradient import conjugate_gradient
from gadget.mri.operators.sense import SamplingOperator

DEGREE_WEIGHT = 0.3
"""How fast the regularisation of coefficients rises with their degree."""


class JointUnknowns:
    """Image and coefficients as one vector `[ky x kx + coil x degree x degree]`.

    ``V^-1 F m`` and ``W^-1 s``; W lets coefficients of higher degree differ less.

    Parameters
    ----------
    coils
        Sensitivities, for their matrix and degrees.
    unit
        W of the degree 0: all unknowns change the data by about as much where it is one over the
        image's norm.
    amplitudes
        V `[ky, kx]`: how the image's spectrum is expected to fall.
    """

    def __init__(self, coils: CoilModel, unit: float | Tensor, amplitudes: Tensor) -> None:
        self._shape = coils.shape
        self._coefficients = coils.coefficients.shape
        self._to_y, self._to_x = coils.bases(corner=True)
        degree = torch.arange(self._coefficients[-1], device=coils.coefficients.device)
        size = torch.hypot(degree[:, None].float(), degree.float())
        self._scale = unit / (1 + DEGREE_WEIGHT * size)
        self._amplitudes = amplitudes

    def joined(self, image: Tensor, coefficients: Tensor) -> Tensor:
        """Return the vector of an image `[y, x]`, its origin at index 0, and coefficients."""
        spectrum = torch.fft.fft2(image, norm="ortho") / self._amplitudes
        return torch.cat([spectrum.flatten(), (coefficients / self._scale).flatten()])

    def split(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and coefficients of a vector."""
        spectrum, scaled = self.parts(vector)
        image = spectrum.reshape(self._shape) * self._amplitudes
        coefficients = scaled.reshape(self._coefficients) * self._scale
        return torch.fft.ifft2(image, norm="ortho"), coefficients

    def parts(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the entries of the image, and those of the coefficients."""
        spectrum, scaled = vector.tensor_split([self._shape[0] * self._shape[1]])
        return spectrum, scaled

    def maps(self, coefficients: Tensor) -> Tensor:
        """Return polynomials `[coil, y, x]`."""
        return self._to_y @ coefficients @ self._to_x.mT

    def change(
        self,
        sampling: SamplingOperator,
        maps: Tensor,
        image: Tensor,
        residual: Tensor,
        *,
        pull: Tensor | float,
        weight: Tensor | float,
        iterations: int,
    ) -> Tensor:
        """Solve for the change of the unknowns where the problem is linear around them.

        ``min |M F (S dm + dS m) - r|^2 + weight |d|^2 + 2 <pull, d>``

        Parameters
        ----------
        sampling
            M and F.
        maps, image
            S `[coil, y, x]` and m `[y, x]`, their origin at index 0. Where S are polynomials that
            are divided by something, so is m.
        residual
            r, in the range of `sampling`.
        pull, weight
            As vectors, or the same for all unknowns.
        iterations
            Conjugate-gradient iterations, at most.
        """

        def forward(change: Tensor) -> Tensor:
            of_image, of_coefficients = self.split(change)
            return sampling.forward(maps * of_image + self.maps(of_coefficients) * image)

        def adjoint(data: Tensor) -> Tensor:
            coil_images = sampling.adjoint(data)
            of_image = torch.fft.fft2((maps.conj() * coil_images).sum(dim=0), norm="ortho")
            of_coefficients = self._to_y.mT @ (image.conj() * coil_images) @ self._to_x
            return torch.cat(
                [
                    (of_image * self._amplitudes).flatten(),
                    (of_coefficients * self._scale).flatten(),
                ]
            )

        rhs = adjoint(residual) - pull
        return conjugate_gradient(
            lambda x: adjoint(forward(x)) + weight * x,
            rhs,
            torch.zeros_like(rhs),
            iterations,
            dims=(0,),
        )

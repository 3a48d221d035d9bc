"""The unknowns of a joint fit: image and coil coefficients."""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.coils.coil_model import CoilModel

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
        self._degree = torch.hypot(degree[:, None].float(), degree.float())
        self._coefficient_scales = torch.empty_like(self._degree)
        self.set_coefficient_scale(coefficient_scale)
        self._amplitudes = amplitudes

    def set_coefficient_scale(self, scale: float | Tensor) -> None:
        """Change W of the degree 0, in place."""
        self._coefficient_scales.copy_(scale / (1 + DEGREE_WEIGHT * self._degree))

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

    def adjoint(self, conj_maps: Tensor, conj_image: Tensor, coil_images: Tensor) -> Tensor:
        """Return the vector of ``dm = S* c`` and of the coefficients of ``dS = m* c``.

        The adjoint of ``S dm + dS m`` as a map of vectors to coil images c `[coil, y, x]`, which
        are overwritten; the origin of all images is at index 0.
        """
        image_part = torch.fft.fft2((conj_maps * coil_images).sum(dim=0), norm="ortho")
        coefficient_part = self._basis_y.mT @ coil_images.mul_(conj_image) @ self._basis_x
        return torch.cat(
            [
                (image_part * self._amplitudes).flatten(),
                (coefficient_part * self._coefficient_scales).flatten(),
            ]
        )

"""Coil structure: compression, smooth maps, and the image that belongs to them.

Maps are `[coil, y, x]` with ``sum_c |S_c|^2 = 1``: the combined image then carries the
root-sum-of-squares brightness of the coil images, and no pixel is amplified.

Each map is a polynomial of low degree. Unlike a few Fourier modes, polynomials need not be
periodic: an object may touch the edge of the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gadget.mri.sense import SamplingOperator, SenseOperator, conjugate_gradient

FIT_ITERATIONS = 10
IMAGE_ITERATIONS = 15
IMAGE_WEIGHT = 1e-3
"""Pull to zero of the conventional image, relative to the unit norm of the encoding operator."""
FIT_PENALTY = 1e-3
"""Pull of a fit to the previous one, relative to the image's mean power."""


def compress(kspace: Tensor, energy: float) -> Tensor:
    """Return the matrix `[virtual coil, coil]` that keeps `energy` of the signal.

    Buehrer et al., Array compression for MRI with large coil arrays, Magn Reson Med 2007,
    doi:10.1002/mrm.21237. White noise stays white: the rows are orthonormal.

    Parameters
    ----------
    kspace
        K-space `[coil, ...]`, zero where not measured.
    energy
        Share of the signal energy to keep, in (0, 1].
    """
    samples = kspace.flatten(1)
    gram = (samples @ samples.mH).to(torch.complex128)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    share = torch.cumsum(values, 0) / values.sum().clamp(min=1e-300)
    count = min(len(values), int((share < energy).sum()) + 1)
    return vectors[:, :count].mH.to(kspace.dtype)


@dataclass(frozen=True)
class CoilModel:
    """Smooth coil structure: polynomial coefficients `[coil, order, order]` on a matrix (y, x)."""

    coefficients: Tensor
    shape: tuple[int, int]

    @property
    def maps(self) -> Tensor:
        """The normalised maps `[coil, y, x]`."""
        to_y, to_x = self.bases()
        return normalise(to_y @ self.coefficients @ to_x.mT)

    def on(self, shape: tuple[int, int]) -> CoilModel:
        """The same structure over the same field of view, on another matrix."""
        return replace(self, shape=shape)

    def raised(self, order: int) -> CoilModel:
        """The same structure with room for more detail."""
        old = self.coefficients.shape[-1]
        finer = self.coefficients.new_zeros(len(self.coefficients), order, order)
        finer[:, :old, :old] = self.coefficients
        return replace(self, coefficients=finer)

    def refitted(self, image: Tensor, sampling: SamplingOperator, data: Tensor) -> CoilModel:
        """Fit the structure to all measured data, given the image.

        ``min_S sum_c |M F (S_c m) - y_c|^2 + penalty |S - S_before|^2``: the coil half of a joint
        estimation (Ying and Sheng, Joint image reconstruction and sensitivity estimation in SENSE,
        Magn Reson Med 2007, doi:10.1002/mrm.21245).

        Parameters
        ----------
        image
            Current combined image `[y, x]`.
        sampling, data
            The sampling operator and the measured data in its range `[coil, ky, kx]`.
        """
        to_y, to_x = self.bases(corner=True)
        corner = torch.fft.ifftshift(image)
        penalty = FIT_PENALTY * float(image.abs().square().sum())

        def to_data(coefficients: Tensor) -> Tensor:
            return sampling.forward(corner * (to_y @ coefficients @ to_x.mT))

        def from_data(values: Tensor) -> Tensor:
            return to_y.mT @ (corner.conj() * sampling.adjoint(values)) @ to_x

        def normal(coefficients: Tensor) -> Tensor:
            return from_data(to_data(coefficients)) + penalty * coefficients

        right = from_data(data) + penalty * self.coefficients
        solved = conjugate_gradient(normal, right, self.coefficients, FIT_ITERATIONS, dims=(-2, -1))
        return replace(self, coefficients=solved)

    def bases(self, *, corner: bool = False) -> tuple[Tensor, Tensor]:
        """Return the polynomials `[y, degree]` and `[x, degree]`.

        Their mean square over the field of view is 1, on any matrix. With `corner`, the origin is
        at index 0 and not in the middle.
        """
        order, like = self.coefficients.shape[-1], self.coefficients
        to_y, to_x = (
            torch.from_numpy(_polynomials(n, order)).to(like.device, like.dtype) for n in self.shape
        )
        return (
            (torch.fft.ifftshift(to_y, 0), torch.fft.ifftshift(to_x, 0)) if corner else (to_y, to_x)
        )


def conventional_image(sampling: SamplingOperator, maps: Tensor, data: Tensor) -> Tensor:
    """Return the CG-SENSE image `[y, x]`."""
    operator = SenseOperator(sampling, maps)
    adjoint = operator.adjoint(data)
    zero = torch.zeros_like(adjoint)
    return operator.regularised_inverse(adjoint, zero, IMAGE_WEIGHT, IMAGE_ITERATIONS)


def normalise(maps: Tensor) -> Tensor:
    """Scale maps `[coil, y, x]` to ``sum_c |S_c|^2 = 1``."""
    power = maps.abs().square().sum(dim=0, keepdim=True)
    return maps * torch.rsqrt(power.clamp(min=1e-24))


def _polynomials(size: int, order: int) -> np.ndarray:
    """Legendre polynomials `[point, degree]` at the pixels of a field of view from -1 to 1."""
    place = 2 * (np.arange(size) - size // 2) / size
    # More polynomials than pixels say nothing new.
    degrees = np.arange(min(order, size))
    basis = np.zeros((size, order))
    basis[:, degrees] = np.polynomial.legendre.legvander(place, degrees[-1])
    return basis * np.sqrt(2 * np.arange(order) + 1)

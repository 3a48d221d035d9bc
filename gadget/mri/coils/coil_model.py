"""Coil sensitivity maps as polynomials.

Maps are `[coil, y, x]` with ``sum_c |S_c|^2 = 1``: the combined image then carries the
root-sum-of-squares brightness of the coil images, and no pixel is amplified.

Each map is a polynomial of low degree. Unlike a few Fourier modes, polynomials need not be
periodic: an object may touch the edge of the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gadget.mri.operators.field_of_view import FieldOfView
from gadget.mri.operators.sense import SamplingOperator

FIT_PENALTY = 1e-4
"""Regularisation of a fit towards the previous one, relative to the image's energy."""
MIN_PENALTY = 1e-30
"""For an image of zeros, which leaves the previous fit as it is."""


@dataclass(frozen=True)
class CoilModel:
    """Smooth sensitivities: polynomial coefficients `[coil, order, order]` on a field of view."""

    coefficients: Tensor
    field_of_view: FieldOfView
    from_centre: bool = True
    """Whether they were found in a complete centre of k-space."""

    @property
    def shape(self) -> tuple[int, int]:
        """Matrix of the maps (y, x)."""
        return self.field_of_view.shape

    @property
    def maps(self) -> Tensor:
        """The normalised maps `[coil, y, x]`."""
        return normalise(self.polynomials())

    def polynomials(self, *, ifftshift: bool = False) -> Tensor:
        """The maps before normalisation; with `ifftshift`, the origin is at index 0."""
        basis_y, basis_x = self.bases(ifftshift=ifftshift)
        return basis_y @ self.coefficients @ basis_x.mT

    def with_order(self, order: int) -> CoilModel:
        """Return the same sensitivities with more polynomial coefficients, which are 0."""
        old = self.coefficients.shape[-1]
        padded = self.coefficients.new_zeros(len(self.coefficients), order, order)
        padded[:, :old, :old] = self.coefficients
        return replace(self, coefficients=padded)

    def fitted(self, image: Tensor, coil_images: Tensor) -> CoilModel:
        """Fit sensitivities of the same degrees to coil images `[coil, y, x]` of an image `[y, x]`.

        Those before do not count.
        """
        zero = replace(self, coefficients=torch.zeros_like(self.coefficients))
        full_sampling = SamplingOperator(torch.ones_like(image, dtype=torch.bool))
        return zero.refitted(image, full_sampling, torch.fft.ifftshift(coil_images, (-2, -1)))

    def refitted(self, image: Tensor, sampling: SamplingOperator, data: Tensor) -> CoilModel:
        """Fit the sensitivities to all measured data, given the image.

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
        basis_y, basis_x = self.bases(ifftshift=True)
        shifted = torch.fft.ifftshift(image)
        gram, rhs = _normal_equations(shifted, basis_y, basis_x, sampling, data)
        penalty = max(FIT_PENALTY * float(image.abs().square().sum()), MIN_PENALTY)
        gram = gram + penalty * torch.eye(len(gram), device=gram.device)
        rhs = rhs + penalty * self.coefficients.flatten(1)
        # 100 unknowns: double precision costs nothing.
        double = torch.complex128
        solved = torch.linalg.solve(gram.to(double), rhs.mT.to(double)).mT.to(image.dtype)
        return replace(self, coefficients=solved.reshape(self.coefficients.shape))

    def bases(self, *, ifftshift: bool = False) -> tuple[Tensor, Tensor]:
        """Return the polynomials `[y, degree]` and `[x, degree]`.

        Their mean square over the field of view is 1, on any matrix. With `ifftshift`, the origin
        is at index 0 and not at the centre.
        """
        like = self.coefficients
        return _legendre_bases(
            self.field_of_view, like.shape[-1], like.device, like.dtype, ifftshift
        )


def normalise(maps: Tensor) -> Tensor:
    """Scale maps `[coil, y, x]` to ``sum_c |S_c|^2 = 1``."""
    power = maps.abs().square().sum(dim=0, keepdim=True)
    return maps * torch.rsqrt(power.clamp(min=1e-24))


def _normal_equations(
    image: Tensor, basis_y: Tensor, basis_x: Tensor, sampling: SamplingOperator, data: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the Gram matrix `[degree, degree]`, the same for all coils, and `[coil, degree]`.

    `degree` counts those along y and along x together, x fastest.
    """
    if len(sampling.axes) == 2:
        products = basis_y.mT[:, None, :, None] * basis_x.mT[None, :, None, :]
        basis = sampling.forward(image * products).flatten(0, 1)[:, sampling.mask]
        return basis.conj() @ basis.mT, data[:, sampling.mask] @ basis.mH
    # Polynomials along an axis that is not transformed commute with the sampling.
    transposed = sampling.axes == (-1,)
    if transposed:
        basis, free, data = sampling.forward(image * basis_x.mT[:, None, :]).mT, basis_y, data.mT
    else:
        basis, free = sampling.forward(image * basis_y.mT[:, :, None]), basis_x
    per_line = torch.einsum("ikp,jkp->pij", basis.conj(), basis)
    gram = torch.einsum("pij,pm,pn->imjn", per_line, free, free)
    rhs = torch.einsum("ikp,ckp,pm->cim", basis.conj(), data, free)
    if transposed:
        gram, rhs = gram.permute(1, 0, 3, 2), rhs.mT
    count = rhs[0].numel()
    return gram.reshape(count, count), rhs.flatten(1)


@lru_cache(maxsize=16)
def _legendre_bases(
    field_of_view: FieldOfView, order: int, device: torch.device, dtype: torch.dtype, shift: bool
) -> tuple[Tensor, Tensor]:
    """Return Legendre polynomials `[y, degree]` and `[x, degree]`, which are not to be changed.

    They are kept, because to make them takes longer than what a GPU does with them.
    """
    y, x = (_legendre(field_of_view.positions(axis), order) for axis in (-2, -1))
    if shift:
        y, x = np.fft.ifftshift(y, 0), np.fft.ifftshift(x, 0)
    return torch.from_numpy(y).to(device, dtype), torch.from_numpy(x).to(device, dtype)


def _legendre(positions: np.ndarray, order: int) -> np.ndarray:
    """Legendre polynomials `[point, degree]` at positions between -1 and 1."""
    # More polynomials than pixels say nothing new.
    degrees = np.arange(min(order, len(positions)))
    basis = np.zeros((len(positions), order))
    basis[:, degrees] = np.polynomial.legendre.legvander(positions, degrees[-1])
    return basis * np.sqrt(2 * np.arange(order) + 1)

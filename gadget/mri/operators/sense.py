"""The multi-coil encoding operator and its regularised inverse.

Pruessmann et al., Advances in sensitivity encoding with arbitrary k-space trajectories,
Magn Reson Med 2001, doi:10.1002/mrm.1241.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.operators.conjugate_gradient import ConjugateGradient
from gadget.mri.operators.field_of_view import FieldOfView


def varying_axes(mask: Tensor) -> tuple[int, ...]:
    """Return the axes (-2 and/or -1) along which a sampling mask `[ky, kx]` changes.

    Along any other axis the Fourier transform commutes with the mask, so it cancels in every
    normal equation and need not be computed.
    """
    mask = mask.cpu()
    axes = [-2] if bool((mask != mask[:1]).any()) else []
    axes += [-1] if bool((mask != mask[:, :1]).any()) else []
    return tuple(axes)


class SamplingOperator:
    """Mask and Fourier transform of coil images, along the axes where the mask changes.

    Data in its range are hybrid: k-space along `axes`, image space along the others; both sides
    are stored with the origin at index 0, so that no transform needs a shift.

    Parameters
    ----------
    mask
        Measured points `[ky, kx]`, centred, bool.
    field_of_view
        Of the images, where it is not just the mask's matrix. They may reach beyond it along `axes`
        only.
    """

    def __init__(self, mask: Tensor, field_of_view: FieldOfView | None = None) -> None:
        self.field_of_view = field_of_view or FieldOfView((mask.shape[0], mask.shape[1]))
        self.axes = varying_axes(mask)
        self.mask = torch.fft.ifftshift(mask)
        if -2 not in self.axes:
            self.mask = self.mask[:1]
        if -1 not in self.axes:
            self.mask = self.mask[:, :1]

    def to_hybrid(self, kspace: Tensor) -> Tensor:
        """Bring centred k-space `[coil, ky, kx]` into the operator's range."""
        data = torch.fft.ifftshift(kspace, (-2, -1))
        if self._untransformed_axes:
            data = torch.fft.ifftn(data, dim=self._untransformed_axes, norm="ortho")
        return self.mask * data

    def to_kspace(self, data: Tensor) -> Tensor:
        """Return the centred k-space `[coil, ky, kx]` of data in the operator's range."""
        if self._untransformed_axes:
            data = torch.fft.fftn(data, dim=self._untransformed_axes, norm="ortho")
        return torch.fft.fftshift(data, (-2, -1))

    @property
    def _untransformed_axes(self) -> list[int]:
        return [axis for axis in (-2, -1) if axis not in self.axes]

    def forward(self, image: Tensor) -> Tensor:
        """Transform images `[..., y, x]`, origin at index 0, and keep the measured points."""
        image = self.field_of_view.fold(image)
        if not self.axes:
            return self.mask * image
        return torch.fft.fftn(image, dim=self.axes, norm="ortho").mul_(self.mask)

    def adjoint(self, data: Tensor) -> Tensor:
        """Transform the measured points back."""
        return self._back(self.mask * data)

    def normal(self, image: Tensor) -> Tensor:
        """Return the adjoint of what `forward` gives."""
        return self._back(self.forward(image))

    def _back(self, data: Tensor) -> Tensor:
        if self.axes:
            data = torch.fft.ifftn(data, dim=self.axes, norm="ortho")
        return self.field_of_view.unfold(data)


class SenseOperator:
    """``A m = M F (S m)``: coil images of `m`, transformed and sampled.

    With ``sum_c |S_c|^2 <= 1`` its norm is at most 1 (Chung and Ye 2022, Proposition 1); where the
    image reaches beyond the field of view, the root of the number of pixels that fold onto one.

    Parameters
    ----------
    sampling
        The sampling operator of one coil.
    maps
        Coil sensitivities `[coil, y, x]`, centred.
    """

    def __init__(self, sampling: SamplingOperator, maps: Tensor) -> None:
        self.sampling = sampling
        self.maps = torch.fft.ifftshift(maps, (-2, -1))
        self._conj_maps = self.maps.conj().resolve_conj()
        self._weight = maps.real.new_zeros(())
        self._solver = ConjugateGradient(dims=(-2, -1))

    def replace_maps(self, maps: Tensor) -> None:
        """Take other coil sensitivities of the same shape, in place."""
        self.maps.copy_(torch.fft.ifftshift(maps, (-2, -1)))
        self._conj_maps.copy_(self.maps.conj())

    def forward(self, image: Tensor) -> Tensor:
        """Map centred images `[..., y, x]` to hybrid data `[..., coil, ky, kx]`."""
        shifted = torch.fft.ifftshift(image, (-2, -1))
        return self.sampling.forward(self.maps * shifted[..., None, :, :])

    def adjoint(self, data: Tensor) -> Tensor:
        """Map hybrid data `[..., coil, ky, kx]` to centred images `[..., y, x]`."""
        return torch.fft.fftshift(self._combine(self.sampling.adjoint(data)), (-2, -1))

    def regularised_inverse(
        self, adjoint_data: Tensor, target: Tensor, weight: float, iterations: int
    ) -> Tensor:
        """Solve ``min_m |A m - y|^2 + weight |m - target|^2`` by conjugate gradients.

        Parameters
        ----------
        adjoint_data
            ``A* y`` `[..., y, x]`, centred.
        target
            Image that the regularisation pulls to, and initial value of the iteration.
        weight
            Weight of the regularisation, > 0.
        iterations
            Conjugate-gradient iterations.
        """
        self._weight.fill_(weight)
        initial = torch.fft.ifftshift(target, (-2, -1))
        rhs = torch.fft.ifftshift(adjoint_data, (-2, -1)) + self._weight * initial
        solution = self._solver.solve(self._regularised_normal, rhs, initial, iterations)
        return torch.fft.fftshift(solution, (-2, -1))

    def _regularised_normal(self, x: Tensor) -> Tensor:
        coils = self.sampling.normal(self.maps * x[..., None, :, :])
        return self._combine(coils) + self._weight * x

    def within_field_of_view(self, image: Tensor) -> Tensor:
        """Return what complete sampling would show of centred images `[..., y, x]`.

        On the matrix of k-space. The magnitude is the root sum of squares of the coil images, in
        which an object folds that is larger than that; the phase is that of the pixel within.
        """
        field_of_view = self.sampling.field_of_view
        if not field_of_view.extended_axes:
            return image
        shifted = torch.fft.ifftshift(image, (-2, -1))
        coil_images = field_of_view.fold(self.maps * shifted[..., None, :, :])
        coil_images = torch.fft.fftshift(coil_images, (-2, -1))
        maps = field_of_view.crop(torch.fft.fftshift(self.maps, (-2, -1)))
        phase = combine(coil_images, maps).angle()
        return torch.polar(torch.linalg.vector_norm(coil_images, dim=-3), phase)

    def _combine(self, coils: Tensor) -> Tensor:
        """Combine coil images, which are overwritten: it takes half the time."""
        return torch.sum(coils.mul_(self._conj_maps), dim=-3)


def combine(coil_images: Tensor, maps: Tensor) -> Tensor:
    """Project coil images `[..., coil, y, x]` on the coil sensitivities `[coil, y, x]`."""
    return torch.sum(maps.conj() * coil_images, dim=-3)

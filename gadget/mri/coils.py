"""Coil structure from the measured data themselves: compression, first estimate, refinement.

Maps are `[coil, y, x]` with ``sum_c |S_c|^2 = 1``: the combined image then carries the
root-sum-of-squares brightness of the coil images, and no pixel is amplified.

Each map is a polynomial of low degree. Unlike a few Fourier modes, polynomials need not be
periodic: an object may touch the edge of the field of view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gadget.mri.fourier import ifftc
from gadget.mri.sense import (
    SamplingOperator,
    SenseOperator,
    combine,
    conjugate_gradient,
    varying_axes,
)

MIN_CENTRE = 6
"""Fewest adjacent complete lines that count as a fully sampled centre."""
CENTRE = 32
"""Most points of the centre that the first estimate looks at, along an axis."""
BLOCKS = 20
"""Blocks along an axis in which a measurement without a centre is looked at."""
ORDERS = (3, 4, 5, 6, 7, 8)
"""Polynomial coefficients along an axis, coarse to fine; each is fitted before the next starts."""
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
        to_y, to_x = self._bases()
        return normalise(to_y @ self.coefficients @ to_x.mT)

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
        to_y, to_x = (torch.fft.ifftshift(basis, 0) for basis in self._bases())
        corner = torch.fft.ifftshift(image)
        penalty = FIT_PENALTY * float(image.abs().square().mean())

        def to_data(coefficients: Tensor) -> Tensor:
            return sampling.forward(corner * (to_y @ coefficients @ to_x.mT))

        def from_data(values: Tensor) -> Tensor:
            return to_y.mT @ (corner.conj() * sampling.adjoint(values)) @ to_x

        def normal(coefficients: Tensor) -> Tensor:
            return from_data(to_data(coefficients)) + penalty * coefficients

        right = from_data(data) + penalty * self.coefficients
        solved = conjugate_gradient(normal, right, self.coefficients, FIT_ITERATIONS, dims=(-2, -1))
        return replace(self, coefficients=solved)

    def _bases(self) -> tuple[Tensor, Tensor]:
        order = self.coefficients.shape[-1]
        like = self.coefficients
        height, width = (
            torch.from_numpy(_polynomials(n, order)).to(like.device, like.dtype) for n in self.shape
        )
        return height, width


def calibrate(
    kspace: Tensor, sampling: SamplingOperator, data: Tensor, mask: Tensor
) -> tuple[CoilModel, Tensor]:
    """Find the coil structure and the conventional image from one undersampled measurement.

    Image (CG-SENSE) and structure are estimated in turn while the polynomials' order rises.

    Parameters
    ----------
    kspace, mask
        Centred k-space `[coil, ky, kx]` and its measured points `[ky, kx]`.
    sampling, data
        The same measurement as the sampling operator sees it.

    Returns
    -------
    The coil model and the image `[y, x]` that belongs to it.
    """
    if min(centre_extent(mask)) >= MIN_CENTRE:
        smooth = low_resolution(kspace, mask)
    else:
        smooth = locally_dominant(kspace, mask)
    image = combine(smooth, _dominant_phase(smooth))
    model = _fit_to_images(smooth, image, ORDERS[0])
    for order in ORDERS:
        model = model.raised(order)
        if order != ORDERS[0]:
            model = model.refitted(image, sampling, data)
        image = conventional_image(sampling, model.maps, data)
    return model, image


def conventional_image(sampling: SamplingOperator, maps: Tensor, data: Tensor) -> Tensor:
    """Return the CG-SENSE image `[y, x]`."""
    operator = SenseOperator(sampling, maps)
    adjoint = operator.adjoint(data)
    zero = torch.zeros_like(adjoint)
    return operator.regularised_inverse(adjoint, zero, IMAGE_WEIGHT, IMAGE_ITERATIONS)


def low_resolution(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return smooth coil images `[coil, y, x]` from the measured centre, on the full grid."""
    window = torch.ones((), device=kspace.device)
    for axis, (size, full) in enumerate(zip(centre_extent(mask), mask.shape, strict=True)):
        width = min(CENTRE, size)
        k = torch.arange(full, device=kspace.device) - full // 2
        # Tapered: no ringing into the air around the object.
        taper = torch.cos(torch.pi * k / (width + 2)).square() * (k.abs() <= width / 2)
        window = window * (taper[:, None] if axis == 0 else taper[None, :])
    return ifftc(kspace * (window * mask))


def locally_dominant(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return smooth coil images `[coil, y, x]` of a measurement without a centre.

    Within a block of pixels the covariance of the aliased coil images is that of the object there
    plus what irregular sampling spreads evenly over the image, which is their mean and is taken
    off. Its dominant eigenvector is the coil structure (Walsh et al., Adaptive reconstruction of
    phased array MR imagery, Magn Reson Med 2000, section "Theory").
    """
    axes = [axis + 2 for axis in varying_axes(mask)]
    covariance = _block_covariance(ifftc(kspace * _whitening_of_radii(kspace, mask)))
    if axes:
        share = float(mask.float().mean())
        covariance = covariance - (1 - share) * covariance.mean(dim=axes, keepdim=True)
    power, vectors = torch.linalg.eigh(covariance)
    dominant = vectors[..., -1] * power[..., -1:].clamp(min=0).sqrt()
    # An eigenvector's phase is arbitrary: that of the coils' strongest combination is taken off.
    strongest = torch.linalg.eigh(torch.einsum("yxa,yxb->ab", dominant, dominant.conj()))[1][:, -1]
    phase = (dominant @ strongest.conj()).angle()
    coarse = torch.view_as_real(dominant * torch.exp(-1j * phase)[..., None])
    fine = F.interpolate(
        coarse.permute(2, 3, 0, 1), (mask.shape[0], mask.shape[1]), mode="bilinear"
    )
    return torch.complex(fine[:, 0], fine[:, 1])


def _block_covariance(images: Tensor) -> Tensor:
    """Return the covariance of coil images `[coil, y, x]` in blocks, `[y, x, coil, coil]`."""
    strips = torch.tensor_split(images, min(BLOCKS, images.shape[1]), dim=1)
    return torch.stack([torch.stack([_covariance(block) for block in _columns(s)]) for s in strips])


def _columns(strip: Tensor) -> tuple[Tensor, ...]:
    return torch.tensor_split(strip, min(BLOCKS, strip.shape[2]), dim=2)


def _covariance(images: Tensor) -> Tensor:
    values = images.flatten(1)
    return values @ values.mH / values.shape[1]


def _whitening_of_radii(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return weights `[ky, kx]` that even out the energy of all distances from the centre.

    Edges then count as much as contrast, and few bright lines near the centre rule nothing.
    """
    axes = (torch.arange(n, device=mask.device) - n // 2 for n in mask.shape)
    ky, kx = torch.meshgrid(*axes, indexing="ij")
    radius = torch.sqrt((ky**2 + kx**2).float()).round().long().flatten()
    count = torch.bincount(radius, mask.flatten().float())
    energy = torch.bincount(radius, kspace.abs().square().sum(dim=0).flatten())
    power = energy / count.clamp(min=1)
    # What the faintest distance holds is mostly noise, and must not be raised.
    faintest = power[count > 0].min()
    weights = torch.where(count > 0, power.sqrt() / (power + 3 * faintest).clamp(min=1e-30), 0)
    return weights[radius].reshape(mask.shape)


def centre_extent(mask: Tensor) -> tuple[int, int]:
    """Return the size (ky, kx) of the largest centred block of `mask` that is fully measured.

    The block grows evenly along both axes; where one axis ends, the other grows on.
    """
    sizes = [0, 0]
    centre = [n // 2 for n in mask.shape]

    def measured(height: int, width: int) -> bool:
        top, left = centre[0] - height // 2, centre[1] - width // 2
        return (
            height <= mask.shape[0]
            and width <= mask.shape[1]
            and bool(mask[top : top + height, left : left + width].all())
        )

    if not measured(1, 1):
        return 0, 0
    sizes = [1, 1]
    growing = [0, 1]
    while growing:
        for axis in list(growing):
            larger = list(sizes)
            larger[axis] += 1
            if measured(larger[0], larger[1]):
                sizes = larger
            else:
                growing.remove(axis)
    return sizes[0], sizes[1]


def normalise(maps: Tensor) -> Tensor:
    """Scale maps `[coil, y, x]` to ``sum_c |S_c|^2 = 1``."""
    power = maps.abs().square().sum(dim=0, keepdim=True)
    return maps * torch.rsqrt(power.clamp(min=1e-24))


def _dominant_phase(coil_images: Tensor) -> Tensor:
    """Unit maps whose combination has the phase of the strongest virtual coil."""
    strongest = torch.tensordot(compress(coil_images, 0.0)[0], coil_images, dims=1)
    return normalise(coil_images * torch.exp(-1j * strongest.angle()))


def _fit_to_images(coil_images: Tensor, image: Tensor, order: int) -> CoilModel:
    """Fit ``S_c m`` to smooth coil images: all of k-space is measured, so nothing is iterated."""
    shape = (image.shape[-2], image.shape[-1])
    flat = CoilModel(coil_images.new_zeros(len(coil_images), order, order), shape)
    everything = SamplingOperator(torch.ones(shape, dtype=torch.bool, device=image.device))
    return flat.refitted(image, everything, torch.fft.ifftshift(coil_images, (-2, -1)))


def _polynomials(size: int, order: int) -> np.ndarray:
    """Orthonormal polynomials `[point, degree]` on an even grid."""
    powers = np.polynomial.legendre.legvander(np.linspace(-1, 1, size), min(order, size) - 1)
    basis = np.zeros((size, order))
    basis[:, : powers.shape[1]] = np.linalg.qr(powers)[0]
    return basis

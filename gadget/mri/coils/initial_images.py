"""Smooth coil images of an undersampled measurement, for an initial estimate of the coils."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gadget.mri.operators.fourier import ifftc
from gadget.mri.operators.sense import varying_axes

MAX_CENTRE = 32
"""Most points of the fully sampled centre that are used, along an axis."""
BLOCKS = 20
"""Blocks along an axis for the local coil covariance."""


def low_resolution_images(kspace: Tensor, mask: Tensor, centre: tuple[int, int]) -> Tensor:
    """Return smooth coil images `[coil, y, x]` from the fully sampled centre, zero-filled.

    Parameters
    ----------
    kspace, mask
        Centred k-space `[coil, ky, kx]` and its measured points `[ky, kx]`.
    centre
        Size (ky, kx) of the fully sampled centre.
    """
    window = torch.ones((), device=kspace.device)
    for axis, (size, full) in enumerate(zip(centre, mask.shape, strict=True)):
        width = min(MAX_CENTRE, size)
        k = torch.arange(full, device=kspace.device) - full // 2
        # Tapered: no ringing into the air around the object.
        taper = torch.cos(torch.pi * k / (width + 2)).square() * (k.abs() <= width / 2)
        window = window * (taper[:, None] if axis == 0 else taper[None, :])
    return ifftc(kspace * (window * mask))


def walsh_images(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return smooth coil images `[coil, y, x]` by local eigenvectors, for data without a centre.

    Within a block of pixels the covariance of the aliased coil images is that of the object there
    plus what irregular sampling spreads evenly over the image, which is their mean and is taken
    off. Its dominant eigenvectors are the coil sensitivities (Walsh et al., Adaptive reconstruction
    of phased array MR imagery, Magn Reson Med 2000, section "Theory").
    """
    axes = [axis + 2 for axis in varying_axes(mask)]
    covariance = _block_covariance(ifftc(kspace * _radial_whitening(kspace, mask)))
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


def _radial_whitening(kspace: Tensor, mask: Tensor) -> Tensor:
    """Return weights `[ky, kx]` that give all distances from the centre the same energy.

    Edges then count as much as contrast, and few bright lines near the centre do not dominate.
    """
    axes = (torch.arange(n, device=mask.device) - n // 2 for n in mask.shape)
    ky, kx = torch.meshgrid(*axes, indexing="ij")
    radius = torch.sqrt((ky**2 + kx**2).float()).round().long().flatten()
    # On the CPU: the order of such sums, and so the image, would change from run to run on a GPU.
    bins = radius.cpu()
    count = torch.bincount(bins, mask.flatten().float().cpu()).to(radius.device)
    energy = torch.bincount(bins, kspace.abs().square().sum(dim=0).flatten().cpu())
    power = energy.to(radius.device) / count.clamp(min=1)
    # What the faintest distance holds is mostly noise, and must not be raised.
    faintest = power[power > 0].min() if power.any() else 0
    weights = torch.where(count > 0, power.sqrt() / (power + 3 * faintest).clamp(min=1e-30), 0)
    return weights[radius].reshape(mask.shape)

"""Coil structure and a conventional image from one undersampled measurement, without references.

What is smooth is seen at low resolution: the structure is found on the centre of k-space, cut to a
small matrix, where an iteration costs a tenth of what it costs on the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gadget.mri.centre import centre_extent
from gadget.mri.coils import CoilModel, compress, conventional_image, normalise
from gadget.mri.joint_fit import fit_jointly
from gadget.mri.sense import SamplingOperator, combine
from gadget.mri.smooth_images import locally_dominant, low_resolution

MIN_CENTRE = 6
"""Fewest adjacent complete lines that count as a fully sampled centre."""
MATRIX = 96
"""Edge of the part of k-space that the structure is found on [points]."""
MARGIN = 8
"""Points along the edge of that part that are not compared: those beyond it reach them."""
FIRST_ORDER = 3
"""Polynomial coefficients of the first estimate, along an axis."""
ORDER = 8
"""Polynomial coefficients along an axis."""


def calibrate(
    kspace: Tensor, sampling: SamplingOperator, data: Tensor, mask: Tensor
) -> tuple[CoilModel, Tensor]:
    """Find the coil structure and the conventional image from one undersampled measurement.

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
    part = tuple(_middle(size) for size in mask.shape)
    compared = _compared(mask)[part]
    if not compared.any():
        part, compared = (slice(None), slice(None)), mask
    small = kspace[:, part[0], part[1]] * compared
    model = fit_jointly(small, compared, _first_estimate(small, mask[part]))
    model = model.on((mask.shape[0], mask.shape[1]))
    return model, conventional_image(sampling, model.maps, data)


def _middle(size: int) -> slice:
    """Return the part of an axis of that size that the structure is found on."""
    length = min(size, MATRIX)
    start = size // 2 - length // 2
    return slice(start, start + length)


def _compared(mask: Tensor) -> Tensor:
    """Return the measured points of `mask` that the structure must explain."""
    compared = torch.zeros_like(mask)
    inner = []
    for size in mask.shape:
        part = _middle(size)
        margin = MARGIN if size > MATRIX else 0
        inner.append(slice(part.start + margin, part.stop - margin))
    compared[inner[0], inner[1]] = mask[inner[0], inner[1]]
    return compared


def _first_estimate(kspace: Tensor, mask: Tensor) -> CoilModel:
    """Fit polynomials of few degrees to smooth coil images, whatever those can be had from."""
    complete = min(centre_extent(mask)) >= MIN_CENTRE
    smooth = (low_resolution if complete else locally_dominant)(kspace, mask)
    # Combined, an image has the phase of its strongest virtual coil.
    strongest = torch.tensordot(compress(smooth, 0.0)[0], smooth, dims=1)
    image = combine(smooth, normalise(smooth * torch.exp(-1j * strongest.angle())))
    shape = (mask.shape[0], mask.shape[1])
    flat = CoilModel(smooth.new_zeros(len(smooth), FIRST_ORDER, FIRST_ORDER), shape)
    everywhere = SamplingOperator(torch.ones_like(mask))
    fitted = flat.refitted(image, everywhere, torch.fft.ifftshift(smooth, (-2, -1)))
    return fitted.raised(ORDER)

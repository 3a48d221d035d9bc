"""Coil sensitivities and a conventional image from one undersampled measurement alone.

What is smooth is seen at low resolution: the sensitivities are found on the centre of k-space, cut
to a small matrix, where an iteration costs a tenth of what it costs on the whole.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.centre import centre_extent
from gadget.mri.coils import CoilModel, compress, normalise
from gadget.mri.conventional import conventional_image, natural_image
from gadget.mri.joint_fit import Search, fit_jointly
from gadget.mri.measurement import Measurement
from gadget.mri.sense import SamplingOperator, combine
from gadget.mri.smooth_images import locally_dominant, low_resolution

MIN_CENTRE = 6
"""Fewest adjacent complete lines that count as a fully sampled centre."""
MATRIX = 96
"""Edge of the part of k-space that the sensitivities are found on [points]."""
MARGIN = 8
"""Points along the edge of that part that are not compared: those beyond it reach them."""
FIRST_ORDER = 3
"""Polynomial coefficients of the first estimate, along an axis."""
WITH_CENTRE = Search(order=10, steps=10, iterations=40, natural=False)
"""Where the centre is complete, the first estimate is close."""
WITHOUT_CENTRE = Search(order=6, steps=20, iterations=160, natural=True)
"""Elsewhere the image's large shapes and the sensitivities are found together or not at all."""


def calibrate(measured: Measurement) -> tuple[CoilModel, Tensor]:
    """Return the coil sensitivities of a measurement and the conventional image `[y, x]`."""
    mask = measured.mask
    part = tuple(_middle(size) for size in mask.shape)
    compared = _compared(mask)[part]
    if not compared.any():
        part, compared = (slice(None), slice(None)), mask
    small = measured.kspace[:, part[0], part[1]] * compared
    near = mask[part]
    extents = zip(centre_extent(near), near.shape, strict=True)
    complete = all(extent >= min(MIN_CENTRE, size) for extent, size in extents)
    first = _first_estimate(small, near, complete)
    model = fit_jointly(small, compared, first, WITH_CENTRE if complete else WITHOUT_CENTRE)
    model = replace(model, shape=(mask.shape[0], mask.shape[1]), final=not complete)
    image = conventional_image if complete else natural_image
    return model, image(measured.sampling, model.maps, measured.data)


def _middle(size: int) -> slice:
    """Return the part of an axis of that size that the sensitivities are found on."""
    length = min(size, MATRIX)
    start = size // 2 - length // 2
    return slice(start, start + length)


def _compared(mask: Tensor) -> Tensor:
    """Return the measured points of `mask` that the sensitivities must explain."""
    compared = torch.zeros_like(mask)
    inner = []
    for size in mask.shape:
        part = _middle(size)
        margin = MARGIN if size > MATRIX else 0
        inner.append(slice(part.start + margin, part.stop - margin))
    compared[inner[0], inner[1]] = mask[inner[0], inner[1]]
    return compared


def _first_estimate(kspace: Tensor, mask: Tensor, complete: bool) -> CoilModel:
    """Fit polynomials of few degrees to smooth coil images, whatever those can be had from."""
    smooth = (low_resolution if complete else locally_dominant)(kspace, mask)
    # Combined, an image has the phase of its strongest virtual coil.
    strongest = torch.tensordot(compress(smooth, 0.0)[0], smooth, dims=1)
    image = combine(smooth, normalise(smooth * torch.exp(-1j * strongest.angle())))
    shape = (mask.shape[0], mask.shape[1])
    flat = CoilModel(smooth.new_zeros(len(smooth), FIRST_ORDER, FIRST_ORDER), shape)
    everywhere = SamplingOperator(torch.ones_like(mask))
    return flat.refitted(image, everywhere, torch.fft.ifftshift(smooth, (-2, -1)))

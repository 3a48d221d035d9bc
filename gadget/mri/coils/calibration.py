"""Coil sensitivities and a conventional image from one undersampled measurement alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.coils.calibration_region import Middle
from gadget.mri.coils.coil_model import CoilModel, compress, normalise
from gadget.mri.coils.initial_images import locally_dominant, low_resolution
from gadget.mri.coils.joint_fit import Search, fit_jointly
from gadget.mri.coils.phase_poles import without_phase_poles
from gadget.mri.conventional.cg_sense import cg_sense_image, spectral_prior_image
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import SamplingOperator, combine
from gadget.mri.sampling.centre import centre_extent

MIN_CENTRE = 6
"""Fewest adjacent complete lines that count as a fully sampled centre."""
FIRST_ORDER = 3
"""Polynomial coefficients of the first estimate, along an axis."""
WITH_CENTRE = Search(order=10, steps=10, iterations=40, natural=False)
"""Where the centre is complete, the first estimate is close."""
WITHOUT_CENTRE = Search(order=6, steps=20, iterations=160, natural=True)
"""Elsewhere the image's large shapes and the sensitivities are found together or not at all."""


def calibrate(measured: Measurement) -> tuple[CoilModel, Tensor]:
    """Return the coil sensitivities of a measurement and the conventional image `[y, x]`."""
    mask = measured.mask
    middle = Middle.of(mask)
    near = middle.measured
    extents = zip(centre_extent(near), near.shape, strict=True)
    complete = all(extent >= min(MIN_CENTRE, size) for extent, size in extents)
    small = middle.cut(measured.kspace)
    first = _first_estimate(small, near, complete)
    model = fit_jointly(small, middle.compared, first, WITH_CENTRE if complete else WITHOUT_CENTRE)
    model = without_phase_poles(model, Measurement(small, middle.compared))
    model = replace(model, shape=(mask.shape[0], mask.shape[1]), centred=complete)
    image = cg_sense_image if complete else spectral_prior_image
    return model, image(measured.sampling, model.maps, measured.data)


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

"""Self-calibration: coil sensitivities and a conventional image from undersampled data alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.coils.calibration_region import CalibrationRegion
from gadget.mri.coils.coil_model import CoilModel, compress, normalise
from gadget.mri.coils.initial_images import low_resolution_images, walsh_images
from gadget.mri.coils.joint_fit import JointFitSettings, fit_jointly
from gadget.mri.coils.phase_poles import remove_phase_poles
from gadget.mri.conventional.cg_sense import cg_sense_image, spectral_prior_image
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import SamplingOperator, combine
from gadget.mri.sampling.centre import centre_extent

MIN_CENTRE = 6
"""Fewest adjacent lines that count as a fully sampled centre."""
FIRST_ORDER = 3
"""Polynomial coefficients of the initial estimate, along an axis."""
WITH_CENTRE = JointFitSettings(order=10, newton_steps=10, cg_iterations=40, natural_spectrum=False)
"""Where the centre is fully sampled, the initial estimate is close."""
WITHOUT_CENTRE = JointFitSettings(
    order=6, newton_steps=20, cg_iterations=160, natural_spectrum=True
)
"""Elsewhere low spatial frequencies and sensitivities have to be fitted jointly, in more steps."""


def calibrate(measured: Measurement) -> tuple[CoilModel, Tensor]:
    """Return the coil sensitivities of a measurement and its conventional image `[y, x]`."""
    mask = measured.mask
    region = CalibrationRegion.of(mask)
    extents = zip(centre_extent(region.mask), region.mask.shape, strict=True)
    complete = all(extent >= min(MIN_CENTRE, size) for extent, size in extents)
    kspace = region.crop(measured.kspace)
    initial = _initial_coils(kspace, region.mask, complete)
    settings = WITH_CENTRE if complete else WITHOUT_CENTRE
    model = fit_jointly(kspace, region.fit_mask, initial, settings)
    model = remove_phase_poles(model, Measurement(kspace, region.fit_mask))
    model = replace(model, shape=(mask.shape[0], mask.shape[1]), centre_sampled=complete)
    image = cg_sense_image if complete else spectral_prior_image
    return model, image(measured.sampling, model.maps, measured.data)


def _initial_coils(kspace: Tensor, mask: Tensor, complete: bool) -> CoilModel:
    """Fit polynomials of low order to smooth coil images."""
    smooth = (low_resolution_images if complete else walsh_images)(kspace, mask)
    # Combined, an image has the phase of its strongest virtual coil.
    strongest = torch.tensordot(compress(smooth, 0.0)[0], smooth, dims=1)
    image = combine(smooth, normalise(smooth * torch.exp(-1j * strongest.angle())))
    shape = (mask.shape[0], mask.shape[1])
    zero = CoilModel(smooth.new_zeros(len(smooth), FIRST_ORDER, FIRST_ORDER), shape)
    full_sampling = SamplingOperator(torch.ones_like(mask))
    return zero.refitted(image, full_sampling, torch.fft.ifftshift(smooth, (-2, -1)))

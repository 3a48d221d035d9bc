"""Self-calibration: coil sensitivities from undersampled data alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gadget.mri.coils.calibration_region import CalibrationRegion
from gadget.mri.coils.coil_model import CoilModel, normalise
from gadget.mri.coils.compression import compress
from gadget.mri.coils.folding import REACH, suited_field_of_view, touched_axes
from gadget.mri.coils.initial_images import low_resolution_images, walsh_images
from gadget.mri.coils.joint_fit import JointFitSettings, fit_jointly
from gadget.mri.coils.phase_poles import remove_phase_poles
from gadget.mri.conventional.cg_sense import conventional_image
from gadget.mri.operators.field_of_view import FieldOfView
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import combine
from gadget.mri.sampling.centre import centre_extent, has_centre

FIRST_ORDER = 3
"""Polynomial coefficients of the initial estimate, along an axis."""
WITH_CENTRE = JointFitSettings(order=10, newton_steps=10, cg_iterations=40, natural_spectrum=False)
"""Where the centre is fully sampled, the initial estimate is close."""
WITHOUT_CENTRE = JointFitSettings(
    order=6, newton_steps=20, cg_iterations=160, natural_spectrum=True
)
"""Elsewhere low spatial frequencies and sensitivities have to be fitted jointly, in more steps."""


def calibrate(measured: Measurement, may_fold: tuple[int, ...] = ()) -> CoilModel:
    """Return the coil sensitivities of a measurement.

    Their field of view is the measurement's, or larger where the object folds over itself, which
    is not looked for without a complete centre of k-space.

    Parameters
    ----------
    measured
        K-space to find them in.
    may_fold
        Axes (-2 and/or -1) along which the object may fold: those along which the image is
        undersampled, whatever the pattern of calibration lines. Along others nothing is gained.
    """
    mask = measured.mask
    region = CalibrationRegion.of(mask)
    centre = centre_extent(region.mask.cpu().numpy())
    complete = has_centre(region.mask)
    kspace = region.crop(measured.kspace)
    smooth = (
        low_resolution_images(kspace, region.mask, centre)
        if complete
        else walsh_images(kspace, region.mask)
    )
    settings = WITH_CENTRE if complete else WITHOUT_CENTRE
    touched = touched_axes(smooth, may_fold) if complete else ()
    y, x = (REACH[0] if axis in touched else 0.0 for axis in (-2, -1))
    suited = FieldOfView((mask.shape[0], mask.shape[1]), (y, x))
    matrix = (region.mask.shape[0], region.mask.shape[1])
    while True:
        field_of_view = suited
        low = Measurement(kspace, region.fit_mask, field_of_view.at(matrix))
        coils = _fit(low, smooth, settings)
        if REACH[0] in field_of_view.reach:  # any other reach is final
            image = conventional_image(low, coils)
            low_resolution = suited_field_of_view(image, coils.field_of_view, centre)
            suited = low_resolution.at(field_of_view.matrix)
        if suited == field_of_view:
            return replace(coils, field_of_view=field_of_view, from_centre=complete)


def _fit(low: Measurement, smooth: Tensor, settings: JointFitSettings) -> CoilModel:
    """Fit sensitivities to low spatial frequencies, from smooth coil images `[coil, y, x]`."""
    initial = _initial_coils(smooth, low.sampling.field_of_view)
    return remove_phase_poles(fit_jointly(low.kspace, low.mask, initial, settings), low)


def _initial_coils(smooth: Tensor, field_of_view: FieldOfView) -> CoilModel:
    """Fit polynomials of low order to smooth coil images `[coil, y, x]`."""
    # Combined, an image has the phase of its strongest virtual coil.
    strongest = torch.tensordot(compress(smooth, 0.0)[0], smooth, dims=1)
    image = combine(smooth, normalise(smooth * torch.exp(-1j * strongest.angle())))
    smooth, image = field_of_view.pad(smooth), field_of_view.pad(image)
    zero = CoilModel(smooth.new_zeros(len(smooth), FIRST_ORDER, FIRST_ORDER), field_of_view)
    return zero.fitted(image, smooth)

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from gadget.mri.coils.calibration import calibrate
from gadget.mri.coils.calibration_region import MATRIX, CalibrationRegion
from gadget.mri.coils.joint_step import JointStep
from gadget.mri.conventional.cg_sense import conventional_image
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import SenseOperator

NOISE = 0.005


def _scan(measure, shape):
    """Random lines, those of the centre not among them."""
    lines = np.zeros(shape[0], bool)
    lines[np.random.default_rng(1).choice(shape[0], shape[0] // 3, replace=False)] = True
    centre = shape[0] // 2
    lines[centre - 2 : centre + 3] = False
    mask = np.broadcast_to(lines[:, None], shape)
    scan = measure(shape, coils=8, mask=mask, noise=NOISE)
    measured = Measurement(
        torch.from_numpy(scan.kspace.data[:, 0]), torch.from_numpy(scan.kspace.mask[0])
    )
    return scan, measured


@pytest.fixture(scope="module")
def calibrated(measure):
    """Returns truth, measurement, coils and conventional image of a scan, which take seconds."""

    @cache
    def make(shape):
        scan, measured = _scan(measure, shape)
        coils = calibrate(measured)
        return scan, measured, coils, conventional_image(measured, coils)

    return make


def _residual(measured, coils, image) -> float:
    """Deviation of the data, in units of their noise."""
    deviation = SenseOperator(measured.sampling, coils.maps).forward(image) - measured.data
    power = deviation.abs().square().sum() / (len(measured.data) * measured.mask.sum())
    return float(power.sqrt()) / NOISE


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("shape", [(96, 96), (130, 111)])
def test_a_good_estimate_of_the_image_betters_the_sensitivities(calibrated, shape, scale):
    scan, measured, coils, _ = calibrated(shape)
    generator = torch.Generator().manual_seed(0)
    error = torch.view_as_complex(
        torch.randn(len(coils.coefficients), 2, 2, 2, generator=generator)
    )
    wrong = coils.coefficients.clone()
    wrong[:, :2, :2] += 0.1 * wrong.abs().max() * error
    coils = replace(coils, coefficients=wrong)
    before = np.median(scan.map_error(coils.maps.numpy()))
    truth = torch.from_numpy(scan.image.astype(np.complex64)) / scale
    step = JointStep(measured.sampling, measured.data, coils)
    for _ in range(4):
        coils, change = step.solve(
            coils, truth, scale=scale, noise=NOISE / scale, sigma=0.02 / scale
        )
    assert np.median(scan.map_error(coils.maps.numpy())) < 0.2 * before
    assert float(change.abs().square().mean().sqrt()) < 0.02 / scale


def test_image_and_sensitivities_explain_the_data(calibrated):
    _, measured, coils, image = calibrated((96, 96))
    step = JointStep(measured.sampling, measured.data, coils)
    estimate = 0.9 * image
    assert _residual(measured, coils, estimate) > 1.5
    for _ in range(3):
        coils, change = step.solve(coils, estimate, scale=1.0, noise=NOISE, sigma=0.5)
        estimate = estimate + change
    assert _residual(measured, coils, estimate) < 1


def test_an_image_of_zeros_stays_finite(calibrated):
    _, measured, coils, image = calibrated((96, 96))
    step = JointStep(measured.sampling, measured.data, coils)
    found, change = step.solve(coils, 0 * image, scale=1.0, noise=NOISE, sigma=0.5)
    assert torch.isfinite(found.coefficients.abs()).all()
    assert torch.isfinite(change.abs()).all()


def test_low_resolution_and_back():
    shape = (MATRIX + 20, MATRIX + 7)
    region = CalibrationRegion.of(torch.ones(shape, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    noise = torch.view_as_complex(torch.randn(MATRIX, MATRIX, 2, generator=generator))
    torch.testing.assert_close(region.downsample(region.zero_fill(noise, shape)), noise)

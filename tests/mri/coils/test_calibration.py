from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gadget.mri.coils.calibration import calibrate
from gadget.mri.coils.calibration_region import MATRIX
from gadget.mri.coils.coil_model import normalise
from gadget.mri.coils.initial_images import walsh_images
from gadget.mri.conventional.cg_sense import conventional_image
from gadget.mri.operators.fourier import ifftc
from gadget.mri.operators.measurement import Measurement
from gadget.mri.operators.sense import SenseOperator


def _calibrated(scan):
    """Coil sensitivities and image of a scan, with its sampling operator and data."""
    measured = Measurement(
        torch.from_numpy(scan.kspace.data[:, 0]), torch.from_numpy(scan.kspace.mask[0])
    )
    coils = calibrate(measured, measured.sampling.axes)
    measured = replace(measured, field_of_view=coils.field_of_view)
    return coils, conventional_image(measured, coils), measured.sampling, measured.data


def _zero_filled_error(scan) -> float:
    return scan.error(np.linalg.norm(ifftc(scan.kspace.data[:, 0]), axis=0))


@pytest.mark.parametrize(
    ("shape", "head", "worst"),
    [
        ((48, 48), {}, 5e-5),
        ((47, 45), {}, 5e-5),
        ((33, 64), {}, 5e-5),
        # The head touches the edge of the field of view, or is cut by it.
        ((48, 48), {"size": 1.0, "centre": (0.2, 0)}, 1e-4),
        ((48, 48), {"size": 1.1}, 3e-4),
    ],
)
def test_maps_and_image_are_found_from_the_undersampled_data(measure, shape, head, worst):
    scan = measure(shape, **head)
    coils, image, *_ = _calibrated(scan)
    assert scan.map_error(coils.maps.numpy()).max() < worst
    assert scan.error(image.numpy()) < 0.01
    power = coils.maps.abs().square().sum(dim=0)
    torch.testing.assert_close(power, torch.ones(shape))


def test_three_of_four_lines_less_still_give_a_good_image(measure):
    scan = measure(acceleration=4)
    coils, image, *_ = _calibrated(scan)
    assert scan.map_error(coils.maps.numpy()).max() < 2e-4
    assert scan.error(image.numpy()) < 0.5 * _zero_filled_error(scan)


@pytest.mark.parametrize(("share", "centre", "gain"), [(0.7, True, 0.1), (0.5, False, 0.6)])
def test_random_points_need_no_complete_centre(measure, share, centre, gain):
    mask = np.random.default_rng(3).random((48, 48)) < share
    mask[24, 24] = centre
    scan = measure(mask=mask)
    _, image, *_ = _calibrated(scan)
    assert scan.error(image.numpy()) < gain * _zero_filled_error(scan)


@pytest.mark.parametrize("seed", range(4))
def test_irregular_lines_need_no_centre(measure, seed):
    """Where no six lines around the centre are complete, the image's edges give the coils."""
    rng = np.random.default_rng(seed)
    lines = rng.random(96) < 0.45
    lines[47:50] = False
    scan = measure((96, 96), coils=8, mask=np.broadcast_to(lines[:, None], (96, 96)))
    kspace, mask = torch.from_numpy(scan.kspace.data[:, 0]), torch.from_numpy(scan.kspace.mask[0])
    maps = normalise(walsh_images(kspace, mask))
    assert maps.shape == (8, 96, 96)
    assert np.median(scan.map_error(maps.numpy())) < 0.06
    coils, *_ = _calibrated(scan)
    assert np.median(scan.map_error(coils.maps.numpy())) < 0.005


@pytest.mark.parametrize("seed", range(3))
def test_what_is_missing_around_the_centre_is_not_made_up_for_by_the_coils(measure, seed):
    lines = np.zeros(96, bool)
    lines[np.random.default_rng(seed).choice(96, 30, replace=False)] = True
    lines[46:51] = False
    mask = np.broadcast_to(lines[:, None], (96, 96))
    scan = measure((96, 96), coils=8, mask=mask, noise=0.005)
    coils, *_ = _calibrated(scan)
    assert not coils.from_centre
    assert np.median(scan.map_error(coils.maps.numpy())) < 6e-4


def test_the_image_explains_the_data_down_to_the_noise(measure):
    scan = measure(noise=0.05, acceleration=2)
    coils, image, sampling, data = _calibrated(scan)
    residual = SenseOperator(sampling, coils.maps).forward(image) - data
    power = residual.abs().square().sum() / (len(data) * np.count_nonzero(scan.kspace.mask))
    assert 0.7 < float(power.sqrt()) / 0.05 < 1.05


def test_one_coil_gives_the_image_itself(measure):
    scan = measure(coils=1, mask=np.ones((32, 31), bool), shape=(32, 31))
    coils, image, *_ = _calibrated(scan)
    torch.testing.assert_close(coils.maps.abs(), torch.ones(1, 32, 31))
    assert scan.error(image.numpy()) < 0.01


def test_matrices_smaller_than_the_polynomials_work(measure):
    scan = measure((5, 40), mask=np.ones((5, 40), bool))
    _, image, *_ = _calibrated(scan)
    assert scan.error(image.numpy()) < 0.02


@pytest.mark.parametrize(
    ("head", "acceleration", "worst"),
    [
        ({}, 2, 5e-5),
        ({}, 4, 5e-5),
        # Bright tissue at two edges of the field of view, where polynomials end and waves do not.
        ({"size": 1.1, "centre": (0.1, 0)}, 2, 1e-3),
    ],
)
def test_the_middle_of_a_large_matrix_tells_the_sensitivities(measure, head, acceleration, worst):
    scan = measure((MATRIX + 40, MATRIX + 21), acceleration=acceleration, **head)
    coils, image, *_ = _calibrated(scan)
    assert coils.maps.shape[1:] == image.shape == (MATRIX + 40, MATRIX + 21)
    assert np.percentile(scan.map_error(coils.maps.numpy()), 99) < worst


def test_where_the_middle_was_not_measured_the_rest_is_looked_at(measure):
    mask = np.ones((2 * MATRIX, 32), bool)
    mask[MATRIX // 2 : -MATRIX // 2] = False
    scan = measure(mask.shape, mask=mask)
    coils, *_ = _calibrated(scan)
    assert scan.map_error(coils.maps.numpy()).max() < 1e-3


@pytest.mark.parametrize("shape", [(64, 48), (65, 48), (160, 120)])
@pytest.mark.parametrize("acceleration", [2, 4])
@pytest.mark.parametrize(("size", "reach"), [(1.2, 1 / 8), (1.4, 1 / 4)])
def test_an_object_that_folds_is_imaged_beyond_the_field_of_view(
    measure_folded, shape, acceleration, size, reach
):
    scan = measure_folded(shape, size, acceleration=acceleration)
    coils, image, sampling, _ = _calibrated(scan)
    assert coils.field_of_view.reach == (reach, 0)
    assert image.shape[0] > shape[0]
    assert image.shape[1] == shape[1]
    seen = SenseOperator(sampling, coils.maps).within_field_of_view(image)
    assert seen.shape == shape
    measured = Measurement(
        torch.from_numpy(scan.kspace.data[:, 0]), torch.from_numpy(scan.kspace.mask[0])
    )
    within = conventional_image(measured, calibrate(measured))
    assert scan.error(seen.numpy()) < 0.7 * scan.error(within.numpy())


@pytest.mark.parametrize("size", [0.8, 1.2])
def test_an_object_that_ends_within_the_field_of_view_or_at_its_edge_stays_there(measure, size):
    coils, *_ = _calibrated(measure((64, 48), size=size))
    assert not coils.field_of_view.extended_axes


def test_zeros_have_sensitivities_and_no_image(measure):
    mask = torch.ones(16, 12, dtype=torch.bool)
    measured = Measurement(torch.zeros(3, 16, 12, dtype=torch.complex64), mask)
    coils = calibrate(measured)
    image = conventional_image(measured, coils)
    assert torch.isfinite(torch.view_as_real(coils.maps)).all()
    assert not image.any()

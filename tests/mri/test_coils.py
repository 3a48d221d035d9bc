from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.coils import (
    ORDERS,
    CoilModel,
    calibrate,
    centre_extent,
    compress,
    conventional_image,
    locally_dominant,
    low_resolution,
    normalise,
)
from gadget.mri.fourier import ifftc
from gadget.mri.sense import SamplingOperator, SenseOperator
from gadget.mri.simulation import correlated_noise


def _calibrated(scan):
    """Coil structure and image of a scan, with its sampling operator and data."""
    kspace = torch.from_numpy(scan.kspace.data[:, 0])
    mask = torch.from_numpy(scan.kspace.mask[0])
    sampling = SamplingOperator(mask)
    data = sampling.hybrid(kspace)
    return *calibrate(kspace, sampling, data, mask), sampling, data


def _map_error(scan, maps: torch.Tensor) -> np.ndarray:
    """1 - |<S, S_true>| in the object: 0 where they agree but for a phase of the image."""
    agreement = np.abs(np.sum(maps.numpy().conj() * scan.maps, axis=0))
    return 1 - agreement[scan.object]


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
    assert _map_error(scan, coils.maps).max() < worst
    assert scan.error(image.numpy()) < 0.01
    power = coils.maps.abs().square().sum(dim=0)
    torch.testing.assert_close(power, torch.ones(shape))


def test_three_of_four_lines_less_still_give_a_good_image(measure):
    scan = measure(acceleration=4)
    coils, image, *_ = _calibrated(scan)
    assert _map_error(scan, coils.maps).max() < 2e-4
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
    maps = normalise(locally_dominant(kspace, mask))
    assert maps.shape == (8, 96, 96)
    assert np.median(_map_error(scan, maps)) < 0.06
    coils, *_ = _calibrated(scan)
    assert np.median(_map_error(scan, coils.maps)) < 0.005


def test_coil_structure_without_a_centre_survives_noise_and_empty_data(measure):
    mask = np.random.default_rng(0).random((48, 48)) < 0.5
    mask[24, 24] = False
    kspace = torch.zeros(3, 48, 48, dtype=torch.complex64)
    assert not locally_dominant(kspace, torch.from_numpy(mask)).any()
    kspace = torch.randn(3, 48, 48, dtype=torch.complex64) * torch.from_numpy(mask)
    assert torch.isfinite(
        torch.view_as_real(locally_dominant(kspace, torch.from_numpy(mask)))
    ).all()


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


def test_more_room_for_detail_leaves_the_maps_as_they_are(measure):
    coils, *_ = _calibrated(measure())
    raised = coils.raised(ORDERS[-1] + 4)
    assert raised.coefficients.shape[-1] == ORDERS[-1] + 4
    torch.testing.assert_close(raised.maps, coils.maps, rtol=1e-5, atol=1e-5)


def test_a_refit_finds_the_structure_behind_a_known_image(measure):
    scan = measure(noise=0)
    coils, _, sampling, data = _calibrated(scan)
    image = torch.from_numpy(scan.image.astype(np.complex64))
    spoilt = CoilModel(
        coils.coefficients * (1 + 0.3 * torch.randn(coils.coefficients.shape)), coils.shape
    )
    assert _map_error(scan, spoilt.maps).max() > 1e-2
    refitted = spoilt
    for _ in range(3):
        refitted = refitted.refitted(image, sampling, data)
    assert _map_error(scan, refitted.maps).max() < 0.1 * _map_error(scan, spoilt.maps).max()


def test_conventional_image_with_the_true_maps(measure):
    scan = measure(noise=0)
    _, _, sampling, data = _calibrated(scan)
    image = conventional_image(sampling, torch.from_numpy(scan.maps), data)
    assert np.linalg.norm(image.numpy() - scan.image) < 0.01 * np.linalg.norm(scan.image)


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.999])
def test_compression_keeps_the_energy_with_as_few_coils_as_possible(measure, energy):
    data = torch.from_numpy(measure(coils=12).kspace.data)
    matrix = compress(data, energy)
    virtual = torch.tensordot(matrix, data, dims=1)
    kept = virtual.flatten(1).abs().square().sum(dim=1) / data.abs().square().sum()
    assert kept.sum() >= energy - 1e-6
    assert kept[:-1].sum() < energy
    assert len(matrix) < 12


def test_compression_keeps_white_noise_white(measure):
    matrix = compress(torch.from_numpy(measure(coils=8).kspace.data), 0.99).numpy()
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(len(matrix)), atol=1e-6)
    noise = matrix @ correlated_noise(np.eye(8), 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(noise @ noise.conj().T / 40_000, np.eye(len(matrix)), atol=0.03)


def test_all_energy_needs_all_coils_and_zeros_need_any(measure):
    data = torch.from_numpy(measure(coils=5, noise=0.1).kspace.data)
    assert compress(data, 1.0).shape == (5, 5)
    assert torch.isfinite(torch.view_as_real(compress(torch.zeros_like(data), 0.999))).all()


@pytest.mark.parametrize("shape", [(16, 12), (15, 11)])
def test_centre_extent(shape):
    height, width = shape
    middle = height // 2
    mask = torch.zeros(shape, dtype=torch.bool)
    assert centre_extent(mask) == (0, 0)
    mask[middle, width // 2] = True
    assert centre_extent(mask) == (1, 1)
    mask[middle - 3 : middle + 3] = True
    assert centre_extent(mask) == (6, width)
    mask[middle + 3] = True
    assert centre_extent(mask) == (7, width)
    mask[0] = True
    assert centre_extent(mask) == (7, width)
    assert centre_extent(mask.T) == (width, 7)
    assert centre_extent(torch.ones(shape, dtype=torch.bool)) == shape


def test_the_first_look_sees_the_centre_of_k_space_alone(measure):
    scan = measure(noise=0)
    kspace = torch.from_numpy(scan.kspace.data[:, 0])
    mask = torch.from_numpy(scan.kspace.mask[0])
    smooth = low_resolution(kspace, mask)
    changed = kspace.clone()
    changed[:, :18] = changed[:, 30:] = 99
    torch.testing.assert_close(low_resolution(changed, mask), smooth)
    full = low_resolution(
        torch.from_numpy(measure(noise=0, acceleration=1).kspace.data[:, 0]), mask
    )
    torch.testing.assert_close(full, smooth)


def test_maps_of_zeros_stay_finite():
    assert not normalise(torch.zeros(3, 4, 4, dtype=torch.complex64)).any()

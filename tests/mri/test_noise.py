from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.kspace import KSpace
from gadget.mri.noise import (
    NoiseCovariance,
    bandwidth_scale,
    edge_covariance,
    estimate_noise_std,
    whitening_matrix,
)
from gadget.mri.patterns import gaussian_points
from gadget.mri.phantom import head_slice
from gadget.mri.simulation import simulate_scan


def _noise(coils: int, samples: int, seed: int = 0) -> np.ndarray:
    """White complex noise of unit variance, E|n|^2 = 1."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(2, coils, samples)) / np.sqrt(2)
    return (noise[0] + 1j * noise[1]).astype(np.complex64)


def _mixing(coils: int) -> np.ndarray:
    random = np.random.default_rng(9)
    return np.eye(coils) + 0.4 * (
        random.normal(size=(coils, coils)) + 1j * random.normal(size=(coils, coils))
    )


def _covariance(noise: np.ndarray, parts: int = 1) -> NoiseCovariance:
    covariance = NoiseCovariance(len(noise))
    for part in np.array_split(noise, parts, axis=1):
        covariance.add(part)
    return covariance


def test_covariance_is_the_same_however_many_readouts_it_comes_in():
    noise = _noise(4, 1000)
    whole, parts = _covariance(noise), _covariance(noise, 7)
    np.testing.assert_allclose(whole.matrix(), parts.matrix(), atol=1e-7)
    assert parts.samples == 1000
    np.testing.assert_allclose(whole.matrix(), np.eye(4), atol=0.15)


def test_whitened_noise_has_unit_variance_and_no_correlation():
    mixing = _mixing(6) * 3e-5
    matrix = whitening_matrix(_covariance(mixing @ _noise(6, 20000)))
    white = _covariance(matrix @ (mixing @ _noise(6, 20000, seed=1)))
    np.testing.assert_allclose(white.matrix(), np.eye(6), atol=0.05)


def test_too_few_samples_only_scale_with_a_warning(caplog):
    matrix = whitening_matrix(_covariance(5 * _noise(6, 20)))
    assert np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0
    np.testing.assert_allclose(np.diag(matrix).real, 0.2, rtol=0.4)
    assert "too few" in caplog.text


def test_coils_that_measured_the_same_only_scale_with_a_warning(caplog):
    noise = _noise(3, 1000)
    noise[2] = 2 * noise[1]
    matrix = whitening_matrix(_covariance(noise))
    assert np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0
    assert matrix[1, 1] == pytest.approx(2 * matrix[2, 2])
    assert "singular" in caplog.text


def test_a_silent_coil_is_left_alone_and_the_others_are_whitened(caplog):
    noise = np.concatenate([_mixing(3) @ _noise(3, 20000), np.zeros((1, 20000))])
    matrix = whitening_matrix(_covariance(noise))
    assert matrix[3].tolist() == [0, 0, 0, 1]
    white = _covariance(matrix @ noise).matrix()
    np.testing.assert_allclose(white[:3, :3], np.eye(3), atol=0.05)
    assert "no noise at all" in caplog.text


@pytest.mark.parametrize(
    ("noise", "data", "relative", "expected"),
    [(5, 5, None, 1), (5, 20, None, 2), (5, 5, 0.81, 0.9), (0, 5, 0.81, 1), (5, 0, 0.81, 1)],
)
def test_bandwidth_scale(noise, data, relative, expected):
    assert bandwidth_scale(noise, data, relative) == pytest.approx(expected)


def test_edge_covariance_avoids_the_signal():
    readouts = [3 * _noise(2, 256, seed) for seed in range(20)]
    for index, readout in enumerate(readouts):
        readout[:, 100:156] += 1000
        if index < 8:
            readout += 50
    covariance = edge_covariance(readouts)
    np.testing.assert_allclose(np.diag(covariance.matrix()).real, 9, rtol=0.15)


@pytest.mark.parametrize("readouts", [[], [np.zeros((4, 64), np.complex64)], [_noise(8, 16)]])
def test_edge_covariance_of_too_little_is_nothing(readouts):
    assert edge_covariance(readouts) is None


def _kspace(std: float, averages: int = 1, step: int = 1) -> KSpace:
    shape = 4, 1, 64, 64
    noise = _noise(4, 64 * 64, seed=3).reshape(shape) * std / np.sqrt(averages)
    y, x = np.ogrid[-32:32, -32:32]
    noise += 300 * std * np.exp(-(x**2 + y**2) / 60).astype(np.complex64)
    weight = np.zeros(shape[1:], np.float32)
    weight[:, ::step] = averages
    weight[:, 28:36] = averages
    return KSpace(noise * (weight > 0), weight)


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("averages", [1, 3])
@pytest.mark.parametrize("std", [1e-4, 1.0, 250.0])
def test_noise_level_is_that_of_one_average(std, averages, step):
    kspace = _kspace(std, averages, step)
    assert estimate_noise_std(kspace) == pytest.approx(std, rel=0.05)


def test_noise_level_ignores_readouts_cut_short():
    kspace = _kspace(2.0)
    kspace.weight[..., :20] = 0
    assert estimate_noise_std(KSpace(kspace.data * kspace.mask, kspace.weight)) == pytest.approx(
        2, rel=0.05
    )


def test_noise_level_among_scattered_points():
    """Edges of a head reach far out in k-space, and beside it nothing is measured completely."""
    rng = np.random.default_rng(0)
    scan = simulate_scan(head_slice((192, 192), 220, 0), 8, 0.01, rng)
    mask = gaussian_points((192, 192), 8, 0.06, rng)
    kspace = KSpace((scan.kspace * mask)[:, None], mask[None].astype(np.float32))
    assert 0.9 < estimate_noise_std(kspace) < 2.2


def test_noise_level_of_nothing_is_zero():
    empty = KSpace(np.zeros((2, 1, 8, 8), np.complex64), np.zeros((1, 8, 8), np.float32))
    assert estimate_noise_std(empty) == 0

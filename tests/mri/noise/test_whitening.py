from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.noise.whitening import (
    NoiseCovariance,
    bandwidth_scale,
    edge_covariance,
    whitening_matrix,
)


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


def test_an_object_within_the_oversampled_field_of_view_leaves_the_noise_as_it_is():
    """Its signal is as strong as the noise, at the ends of the readouts, too."""
    coils, count, random = 4, 256, np.random.default_rng(5)
    profile = np.zeros(count)
    profile[count // 4 : 3 * count // 4] = random.normal(size=count // 2)
    readouts = []
    for seed in range(32):
        coil_profiles = random.normal(size=(coils, 1)) * profile
        signal = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(coil_profiles, 1), norm="ortho"), 1)
        readouts.append(1.4 * signal + _noise(coils, count, seed))
    covariance = edge_covariance(readouts)
    np.testing.assert_allclose(covariance.matrix(), np.eye(coils), atol=0.25)


@pytest.mark.filterwarnings("error")
def test_samples_too_large_for_their_squares_are_no_noise():
    assert edge_covariance([np.float32(1e30) * _noise(2, 256)] * 8) is None


@pytest.mark.parametrize("readouts", [[], [np.zeros((4, 64), np.complex64)], [_noise(8, 16)]])
def test_edge_covariance_of_too_little_is_nothing(readouts):
    assert edge_covariance(readouts) is None


def test_edges_that_hold_signal_give_no_covariance():
    """An object at the edge of the field of view turns the phase from sample to sample."""
    signal = 100 * np.exp(1.5j * np.arange(256))
    readouts = [_noise(2, 256, seed) for seed in range(20)]
    assert edge_covariance(readouts) is not None
    assert (
        edge_covariance([(readout + signal).astype(np.complex64) for readout in readouts]) is None
    )


def test_spikes_are_no_noise():
    random = np.random.default_rng(8)
    noise = random.normal(size=(4, 2000)) + 1j * random.normal(size=(4, 2000))
    truth = _covariance(noise.astype(np.complex64)).matrix()
    noise[:, 100] += 1000
    noise[2, 1500] += 500
    found = _covariance(noise.astype(np.complex64), parts=2)
    assert found.samples == 1998
    np.testing.assert_allclose(found.matrix(), truth, atol=0.05)

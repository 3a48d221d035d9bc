from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.fourier import fftc
from gadget.mri.simulation import coil_maps, correlated_noise, noise_covariance, smooth_phase


@pytest.mark.parametrize("shape", [(32, 32), (31, 20)])
@pytest.mark.parametrize("coils", [1, 4, 9])
def test_coil_maps_are_normalised(coils, shape):
    maps = coil_maps(coils, shape)
    assert maps.shape == (coils, *shape)
    assert maps.dtype == np.complex64
    np.testing.assert_allclose(np.sum(np.abs(maps) ** 2, axis=0), 1, atol=1e-5)


def test_coils_see_different_places():
    maps = np.abs(coil_maps(4, (33, 33)))
    brightest = [np.unravel_index(np.argmax(one), (33, 33)) for one in maps]
    # Loops at the angles 0, 90, 180 and 270 degrees: right, bottom, left, top.
    assert [(int(y), int(x)) for y, x in brightest] == [(16, 32), (32, 16), (16, 0), (0, 16)]


def test_coil_maps_are_smooth():
    spectrum = np.abs(fftc(coil_maps(8, (64, 64)) * np.hanning(64)[:, None] * np.hanning(64))) ** 2
    centre = spectrum[:, 26:39, 26:39].sum()
    assert centre > 0.999 * spectrum.sum()


def test_phase_is_smooth_and_random():
    one, other = (smooth_phase((64, 48), np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_allclose(np.abs(one), 1, rtol=1e-6)
    assert np.abs(np.angle(one[1:] * one[:-1].conj())).max() < 0.5
    assert np.abs(np.angle(one * other.conj())).max() > 0.5


def test_noise_has_the_covariance_asked_for():
    rng = np.random.default_rng(0)
    covariance = noise_covariance(6, rng)
    np.testing.assert_allclose(covariance, covariance.conj().T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.mean(np.diag(covariance).real) == pytest.approx(1)
    gains = np.sqrt(np.diag(covariance).real)
    neighbours = np.abs(covariance[0, 1]) / (gains[0] * gains[1])
    assert neighbours == pytest.approx(0.25)
    noise = correlated_noise(covariance, 100_000, rng)
    np.testing.assert_allclose(noise @ noise.conj().T / 100_000, covariance, atol=0.02)
    # Circular: the real and the imaginary part are equally strong and not related.
    np.testing.assert_allclose(noise @ noise.T / 100_000, 0, atol=0.02)

from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.phantoms.scanner import (
    coil_maps,
    correlated_noise,
    noise_covariance,
    simulate_scan,
    smooth_phase,
)


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


def test_a_scan_is_white_and_shows_the_image():
    rng = np.random.default_rng(0)
    image = np.zeros((64, 60))
    image[20:44, 16:40] = 1
    scan = simulate_scan(image, 5, 0.02, rng)
    assert scan.kspace.shape == (5, 64, 60)
    coil_images = ifftc(scan.kspace)
    air = coil_images[:, image == 0]
    np.testing.assert_allclose(air @ air.conj().T / air.shape[1], np.eye(5), atol=0.08)
    # The truth has no noise, and is what a complete scan shows up to its noise of about 1.
    assert (scan.truth[image == 0] == 0).all()
    magnitude = np.sqrt((np.abs(coil_images) ** 2).sum(0))
    assert scan.truth.max() > 30
    assert np.std((magnitude - scan.truth)[image == 1]) == pytest.approx(np.sqrt(0.5), rel=0.15)


def test_a_complex_image_keeps_its_phase():
    rng = np.random.default_rng(0)
    image = np.exp(1j * rng.uniform(0, 6, (32, 32)))
    scan = simulate_scan(image, 1, 1e-4, rng)
    # One coil: whitening is a factor. What is left of the phase is that of the coil.
    found = ifftc(scan.kspace)[0] * coil_maps(1, (32, 32))[0].conj()
    factor = np.vdot(image, found) / image.size
    np.testing.assert_allclose(found / factor, image, atol=1e-2)


def test_a_magnitude_is_given_a_phase():
    coil_images = [
        ifftc(simulate_scan(np.ones((32, 32)), 1, 1e-3, np.random.default_rng(seed)).kspace)[0]
        for seed in (0, 1)
    ]
    difference = np.angle(coil_images[0] * coil_images[1].conj())
    assert difference.std() > 0.3

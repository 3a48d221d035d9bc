from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.operators.fourier import fftc
from gadget.mri.resample import centred_resize, to_recon_space


@pytest.mark.parametrize("old", range(1, 8))
@pytest.mark.parametrize("new", range(1, 8))
def test_the_centre_stays_the_centre(old, new):
    array = np.arange(old)[:, None] - old // 2 + np.zeros((1, 2))
    resized = centred_resize(array, 0, new)
    assert resized.shape == (new, 2)
    expected = np.arange(new) - new // 2
    inside = (expected >= -(old // 2)) & (expected < old - old // 2)
    np.testing.assert_array_equal(resized[:, 0], np.where(inside, expected, 0))


def test_the_same_space_changes_nothing():
    image = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.complex64)
    same = to_recon_space(image, (10, 20, 30), (10, 20, 30), (5, 4, 3))
    np.testing.assert_array_equal(same, image)


@pytest.mark.parametrize(("measured", "wanted"), [(16, 8), (16, 9), (15, 8), (17, 7), (8, 12)])
def test_another_field_of_view_crops_or_pads(measured, wanted):
    image = np.random.default_rng(0).normal(size=(2, 3, measured)).astype(np.complex64)
    resized = to_recon_space(image, (measured, 3, 2), (wanted, 3, 2), (wanted, 3, 2))
    np.testing.assert_array_equal(resized, centred_resize(image, -1, wanted))


@pytest.mark.parametrize(("old", "new"), [(8, 12), (8, 13), (7, 12), (9, 15)])
def test_a_finer_matrix_is_interpolated_by_zero_filling(old, new):
    """A wave that both matrices can show keeps its height, its phase and its place."""
    fine, coarse = (np.arange(n) - n // 2 for n in (new, old))
    waves = [
        np.exp(2j * np.pi * (k * at / n + 0.3)) for k, n, at in [(2, new, fine), (2, old, coarse)]
    ]
    volume = np.broadcast_to(waves[1].astype(np.complex64), (2, 3, old))
    resized = to_recon_space(volume, (20, 3, 2), (20, 3, 2), (new, 3, 2))
    assert resized.dtype == np.complex64
    np.testing.assert_allclose(resized, np.broadcast_to(waves[0], (2, 3, new)), atol=1e-5)


@pytest.mark.parametrize("measured", [16, 17])
@pytest.mark.parametrize("covered", [8.4, 9.5, 20.5])
@pytest.mark.parametrize("size", [12, 15])
def test_a_field_of_view_of_no_whole_number_of_voxels_keeps_its_place(measured, covered, size):
    """A wave lies where it did, counted from the centre, and is 0 where nothing was measured."""
    coarse = np.arange(measured) - measured // 2
    wave = np.exp(2j * np.pi * (3 * coarse / measured + 0.1)).astype(np.complex64)
    volume = np.broadcast_to(wave, (2, 3, measured))
    resized = to_recon_space(volume, (measured, 3, 2), (covered, 3, 2), (size, 3, 2))
    fine = (np.arange(size) - size // 2) * covered / size
    expected = np.exp(2j * np.pi * (3 * fine / measured + 0.1))
    expected[(fine < coarse[0] - 1) | (fine > coarse[-1] + 1)] = 0
    assert resized.dtype == np.complex64
    np.testing.assert_allclose(resized, np.broadcast_to(expected, (2, 3, size)), atol=1e-5)


def test_an_object_that_is_cropped_does_not_ring():
    at = np.arange(16) - 8
    smooth = np.exp(-0.5 * ((at - 3) / 2) ** 2)  # cut at the upper edge, not at the lower one
    volume = np.broadcast_to(smooth.astype(np.complex64), (1, 2, 16))
    whole = to_recon_space(volume, (16, 2, 1), (16, 2, 1), (64, 2, 1))
    cropped = to_recon_space(volume, (16, 2, 1), (10, 2, 1), (40, 2, 1))
    np.testing.assert_allclose(cropped, whole[..., 12:52], atol=1e-5)


def test_a_coarser_matrix_shows_no_waves_that_it_is_too_coarse_for():
    at = np.arange(16) - 8
    wave = np.exp(2j * np.pi * 7 * at / 16).astype(np.complex64)
    volume = np.broadcast_to(wave, (1, 2, 16))
    assert np.abs(to_recon_space(volume, (16, 2, 1), (9.5, 2, 1), (6, 2, 1))).max() < 1e-5


def test_nothing_is_added_beyond_the_measured_resolution():
    image = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.complex64)
    spectrum = fftc(to_recon_space(image, (8, 8, 1), (8, 8, 1), (12, 8, 1)), (-1,))
    assert np.abs(spectrum[..., :2]).max() < 1e-6
    assert np.abs(spectrum[..., 10:]).max() < 1e-6
    assert np.abs(spectrum[..., 2:10]).min() > 1e-3


def test_every_axis_has_its_own_size():
    image = np.zeros((2, 4, 12, 16), np.complex64)
    image[:, 2, 6, 8] = 1
    resized = to_recon_space(image, (32, 12, 4), (16, 12, 8), (8, 18, 8))
    assert resized.shape == (2, 8, 18, 8)
    assert {tuple(int(i) for i in at[1:]) for at in np.argwhere(np.abs(resized) > 0.5)} == {
        (4, 9, 4)
    }


def test_a_field_of_view_that_is_not_known_crops_nothing():
    image = np.ones((1, 4, 4), np.complex64)
    for missing in [((0, 4, 1), (4, 4, 1)), ((4, 4, 1), (0, 4, 1))]:
        assert to_recon_space(image, *missing, (4, 4, 1)).shape == (1, 4, 4)

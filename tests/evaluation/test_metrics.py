from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage")

from gadget.evaluation.metrics import hfen, matched_scale, nmse, psnr, scores, ssim


@pytest.fixture
def reference():
    return np.random.default_rng(0).random((2, 16, 16)) + np.linspace(0, 3, 16)


def test_psnr_is_the_formula(reference):
    image = reference + 0.1
    expected = 20 * np.log10(reference.max() / 0.1)
    assert psnr(reference, image) == pytest.approx(expected)


def test_ssim_takes_the_range_of_the_volume(reference):
    """Zbontar et al. 2018: k1 = 0.01, k2 = 0.03, windows of 7 x 7, here one window."""
    one, other = reference[:, :7, :7], reference[:, :7, :7] ** 2
    c1, c2 = (0.01 * one.max()) ** 2, (0.03 * one.max()) ** 2
    values = []
    for a, b in zip(one, other, strict=True):
        covariance = np.cov(a.ravel(), b.ravel())
        means = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
        spread = (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)
        values.append(means * spread)
    assert ssim(one, other) == pytest.approx(np.mean(values))


def test_the_scale_is_the_best_one(reference):
    assert matched_scale(reference, reference / 7) == pytest.approx(7)
    noisy = reference / 7 + np.random.default_rng(1).normal(0, 0.1, reference.shape)
    scale = matched_scale(reference, noisy)
    errors = [np.sum((reference - s * noisy) ** 2) for s in (scale, 0.99 * scale, 1.01 * scale)]
    assert errors[0] == min(errors)
    assert matched_scale(reference, np.zeros_like(reference)) == 1


def test_nmse_is_the_formula(reference):
    assert nmse(reference, 0.9 * reference) == pytest.approx(0.01)
    assert nmse(reference, np.zeros_like(reference)) == pytest.approx(1)


def test_hfen_is_about_edges():
    """The filter as Ravishankar and Bresler give it: 15 x 15 points, 1.5 pixels."""
    image = np.zeros((41, 41))
    image[10:30, 12:28] = 1
    assert hfen(image, image + 0.3) < 1e-3
    assert hfen(image, np.zeros_like(image)) == pytest.approx(1)
    point = np.zeros((41, 41))
    point[20, 20] = 1
    y, x = np.mgrid[-7:8, -7:8]
    filtered = (x**2 + y**2 - 2 * 1.5**2) / 1.5**4 * np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    two = point + np.roll(point, 3, axis=0)
    response = np.zeros((2, 41, 41))
    response[:, 13:28, 13:28] = filtered
    response[1] = response[0] + np.roll(response[0], 3, axis=0)
    expected = np.linalg.norm(response[1] - response[0]) / np.linalg.norm(response[0])
    assert hfen(point, two) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("scale", [1e-20, 1e-12, 1e10, 1e20])
def test_the_scale_of_the_images_does_not_matter(reference, scale):
    one = reference[0].astype(np.float32)
    other = one + 0.1 * reference[1].astype(np.float32)
    found, expected = scores(scale * one, scale * other), scores(one, other)
    for name in ("psnr", "ssim", "nmse", "hfen"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-4), name


def test_scores_are_those_of_one_slice(reference):
    one, other = reference[0], reference[0] + 0.05 * reference[1]
    found = scores(one, other)
    assert found.psnr == psnr(one[None], other[None])
    assert found.ssim == ssim(one[None], other[None])
    assert found.nmse == nmse(one, other)
    assert found.hfen == hfen(one, other)

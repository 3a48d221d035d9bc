from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage")

from gadget.evaluation.metrics import matched_scale, psnr, ssim


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

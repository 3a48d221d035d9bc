from __future__ import annotations

import numpy as np
import pytest

from gadget.evaluation.uncertainty import block_rms, foreground, reliability, uncertainty_scores


@pytest.fixture
def disk():
    y, x = np.mgrid[-64:64, -60:60]
    return np.where(np.hypot(y, x) < 50, 100.0, 0.0)


@pytest.fixture
def std(disk):
    return np.where(disk > 0, 1.0, 50.0) * np.linspace(1, 5, 120)


def test_normal_errors_lie_where_they_should(disk, std):
    image = disk + std * np.random.default_rng(0).normal(size=disk.shape)
    observed = uncertainty_scores(disk, image, std)
    assert observed.within_one_sigma == pytest.approx(0.683, abs=0.02)
    assert observed.within_two_sigma == pytest.approx(0.954, abs=0.01)
    assert observed.sigma_correlation > 0.85


def test_a_prediction_that_is_too_small_or_of_the_wrong_place(disk, std):
    image = disk + std * np.random.default_rng(0).normal(size=disk.shape)
    assert uncertainty_scores(disk, image, std / 4).within_one_sigma < 0.25
    elsewhere = np.where(disk > 0, 1.0, 50.0) * np.linspace(5, 1, 120)
    assert uncertainty_scores(disk, image, elsewhere).sigma_correlation < -0.85


def test_correlation_of_what_does_not_vary(disk):
    assert np.isnan(uncertainty_scores(disk, disk + 1, np.ones_like(disk)).sigma_correlation)


def test_the_foreground_is_the_object(disk):
    np.testing.assert_array_equal(foreground(disk + 1), disk > 0)


def test_regions_are_blocks_of_the_object():
    inside = np.zeros((20, 24), bool)
    inside[:, 5:16] = True
    image = np.where(inside, np.arange(20)[:, None], 1e9)
    # 8 x 8: the first column of blocks has 3 of 8 inside, the second all, the last rows are cut.
    expected = [np.sqrt(np.mean(np.arange(a, a + 8) ** 2)) for a in (0, 8)]
    np.testing.assert_allclose(block_rms(image, inside), expected)


def test_a_reliability_curve_is_the_diagonal_where_the_prediction_is_right(disk, std):
    image = disk + std * np.random.default_rng(0).normal(size=disk.shape)
    curve = reliability(disk, image, std)
    assert len(curve.predicted) == len(curve.observed) == 12
    assert (np.diff(curve.predicted) > 0).all()
    np.testing.assert_allclose(curve.observed, curve.predicted, rtol=0.12)
    assert 0.01 < curve.predicted[0] < curve.predicted[-1] < 0.05
    np.testing.assert_allclose(reliability(disk, image, std / 2).observed, curve.observed)

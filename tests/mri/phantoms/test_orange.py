from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.phantoms.orange import RADIUS, orange_slice


@pytest.fixture(scope="module")
def orange():
    return orange_slice((96, 96), 220)


def test_an_orange_is_round_bright_and_alone(orange):
    assert orange.dtype == np.float32
    assert orange.min() == 0
    assert 0.7 < orange.max() <= 1
    area = (orange > 0).sum() * (220 / 96) ** 2
    assert area == pytest.approx(np.pi * RADIUS**2, rel=0.1)
    assert not orange[:6].any()


def test_it_is_the_same_fruit_at_every_resolution(orange):
    fine = orange_slice((192, 192), 220)
    coarse = fine.reshape(96, 2, 96, 2).mean(axis=(1, 3))
    # Pixel n // 2 is the centre, so that the grids are half a fine pixel apart.
    assert np.corrcoef(coarse.ravel(), orange.ravel())[0, 1] > 0.95


def test_slices_and_seeds_differ(orange):
    assert (orange_slice((96, 96), 220, z_mm=50) > 0).sum() < 0.8 * (orange > 0).sum()
    assert np.abs(orange_slice((96, 96), 220, seed=1) - orange).max() > 0.3
    np.testing.assert_array_equal(orange_slice((96, 96), 220), orange)

from __future__ import annotations

import numpy as np
import pytest

from gadget.diffusion.schedule import geometric_schedule, power_schedule


@pytest.mark.parametrize("rho", [1, 7, 1000])
def test_power_schedule_falls_from_start_to_end(rho):
    sigmas = power_schedule(0.7, 0.01, 20, rho)
    assert len(sigmas) == 20
    assert (sigmas[0], sigmas[-1]) == pytest.approx((0.7, 0.01))
    assert (np.diff(sigmas) < 0).all()
    assert all(type(sigma) is float for sigma in sigmas)


def test_power_schedule_is_linear_in_the_root():
    roots = np.array(power_schedule(80, 0.002, 18, 7)) ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), roots[1] - roots[0])
    np.testing.assert_allclose(power_schedule(3, 1, 3, 1), [3, 2, 1])


def test_a_large_exponent_approaches_the_geometric_schedule():
    geometric = geometric_schedule(10, 0.01, 30)
    np.testing.assert_allclose(power_schedule(10, 0.01, 30, 1e5), geometric, rtol=1e-3)


def test_geometric_schedule_has_one_ratio():
    sigmas = np.array(geometric_schedule(10, 0.01, 7))
    assert (sigmas[0], sigmas[-1]) == pytest.approx((10, 0.01))
    np.testing.assert_allclose(sigmas[1:] / sigmas[:-1], 10**-0.5)


def test_one_step_is_the_start():
    assert power_schedule(0.7, 0.01, 1, 7) == pytest.approx([0.7])
    assert geometric_schedule(0.7, 0.01, 1) == pytest.approx([0.7])

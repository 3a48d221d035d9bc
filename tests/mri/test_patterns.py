from __future__ import annotations

import numpy as np
import pytest

from gadget.errors import ConfigError
from gadget.mri.patterns import random_lines, uniform_lines


@pytest.mark.parametrize("lines", [64, 65, 320])
@pytest.mark.parametrize("acceleration", [2, 4, 5.5])
def test_random_lines_are_as_many_as_the_acceleration_says(lines, acceleration):
    mask = random_lines(lines, acceleration, 0.08, np.random.default_rng(0))
    assert mask.shape == (lines,)
    assert mask.sum() == round(lines / acceleration)
    width = round(0.08 * lines)
    start = lines // 2 - width // 2
    assert mask[start : start + width].all()


def test_random_lines_are_those_of_the_random_source():
    masks = [random_lines(64, 4, 0.08, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_random_lines_are_drawn_evenly():
    rng = np.random.default_rng(0)
    counts = np.mean([random_lines(50, 2, 0.2, rng) for _ in range(600)], axis=0)
    np.testing.assert_array_equal(counts[20:30], 1)
    outside = np.delete(counts, np.s_[20:30])
    np.testing.assert_allclose(outside, 15 / 40, atol=0.1)


def test_a_centre_that_leaves_no_room_is_an_error():
    with pytest.raises(ConfigError, match=r"leaves 6 of 64 lines, fewer than the 13 of the centre"):
        random_lines(64, 10, 0.2, np.random.default_rng(0))


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_uniform_lines(offset):
    mask = uniform_lines(15, 3, 0.2, offset)
    assert np.flatnonzero(mask).tolist() == sorted({*range(offset, 15, 3), 6, 7, 8})
    assert uniform_lines(16, 2, 0).sum() == 8

from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.sampling.centre import MIN_CENTRE, centre_extent, has_centre


@pytest.mark.parametrize("shape", [(16, 12), (15, 11)])
def test_centre_extent(shape):
    height, width = shape
    middle = height // 2
    mask = np.zeros(shape, bool)
    assert centre_extent(mask) == (0, 0)
    mask[middle, width // 2] = True
    assert centre_extent(mask) == (1, 1)
    mask[middle - 3 : middle + 3] = True
    assert centre_extent(mask) == (6, width)
    mask[middle + 3] = True
    assert centre_extent(mask) == (7, width)
    mask[0] = True
    assert centre_extent(mask) == (7, width)
    assert centre_extent(mask.T) == (width, 7)
    assert centre_extent(np.ones(shape, bool)) == shape


@pytest.mark.parametrize("shape", [(16, 12), (15, 11), (9, 1), (5, 8)])
def test_a_complete_centre_is_one_of_enough_points_along_both_axes(shape):
    rng = np.random.default_rng(0)
    found = set()
    for share in np.linspace(0.8, 1, 200):
        mask = rng.random(shape) < share
        enough = [
            n >= min(MIN_CENTRE, size) for n, size in zip(centre_extent(mask), shape, strict=True)
        ]
        assert has_centre(mask) == all(enough)
        found.add(all(enough))
    assert found == {False, True}

from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.sampling.centre import centre_extent


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

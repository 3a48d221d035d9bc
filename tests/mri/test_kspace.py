from __future__ import annotations

import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mri.kspace import KSpace


@pytest.mark.parametrize(
    ("data", "weight", "said"),
    [
        (np.ones((2, 1, 4, 4), np.complex64), np.ones((1, 4, 5), np.float32), r"\[1, 4, 5\]"),
        (np.ones((1, 4, 4), np.complex64), np.ones((4, 4), np.float32), r"\[1, 4, 4\]"),
        (np.ones((2, 1, 4, 4), np.complex128), np.ones((1, 4, 4), np.float32), "complex128"),
        (np.ones((2, 1, 4, 4), np.complex64), np.ones((1, 4, 4), bool), "bool"),
    ],
)
def test_what_is_no_kspace_is_refused_at_once(data, weight, said):
    with pytest.raises(DataError, match=f"k-space must be .*{said}"):
        KSpace(data, weight)


def test_an_image_is_not_lost_with_its_calibration_lines(caplog):
    weight = np.ones((1, 4, 4), np.float32)
    calibration = KSpace(np.full((2, 1, 4, 4), np.inf, np.complex64), weight)
    image = KSpace(np.ones((2, 1, 4, 4), np.complex64), weight, calibration)
    found = image.drop_nonfinite()
    assert found.calibration is None
    np.testing.assert_array_equal(found.data, image.data)
    assert "All calibration samples" in caplog.text

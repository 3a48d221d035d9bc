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

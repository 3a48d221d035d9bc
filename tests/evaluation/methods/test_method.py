from __future__ import annotations

import numpy as np
import pytest

from gadget.evaluation.methods.method import calibration_width, covers_object
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.patterns import parse_pattern


@pytest.mark.parametrize(
    ("pattern", "width"), [("uniform1d:4:0.25", 12), ("random1d:1", 40), ("poisson2d:4:0.2", 8)]
)
def test_the_calibration_region_is_square(case, pattern, width):
    if "poisson" in pattern:
        pytest.importorskip("sigpy")
    found = calibration_width(case.undersampled(parse_pattern(pattern), 0))
    # Lines or points beside it may have been drawn by chance.
    assert width <= found <= width + 1


def test_maps_that_leave_out_the_object_do_not_cover_it(case):
    kspace = case.undersampled(parse_pattern("uniform1d:1"), 0)
    maps = np.ones((4, 48, 40), np.complex64)
    assert covers_object(maps, kspace)
    air = case.truth == 0
    assert covers_object(maps * ~air, kspace)
    power = (np.abs(ifftc(kspace.data[:, 0])) ** 2).sum(axis=(0, 2))
    edge = int(np.searchsorted(np.cumsum(power), 0.02 * power.sum()))
    maps[:, : edge + 1] = 0  # a fiftieth of the energy: a rim that would be missing
    assert not covers_object(maps, kspace)
    assert not covers_object(np.full_like(maps, np.nan), kspace)

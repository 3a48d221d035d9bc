from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gadget.errors import DataError
from gadget.evaluation.cases import Receiver, central_slices, simulated_case
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.patterns import parse_pattern


def magnitude(kspace):
    return np.sqrt((np.abs(ifftc(kspace)) ** 2).sum(0))


def test_the_complete_scan_shows_the_truth(case, phantom):
    assert case.truth.shape == (48, 40)
    # Noise of a root sum of squares is about 1 where there is signal.
    inside = phantom((48, 40)) > 0.5
    assert np.std((magnitude(case.kspace) - case.truth)[inside]) == pytest.approx(0.7, abs=0.15)
    assert np.percentile(case.truth, 95) == pytest.approx(100, rel=0.3)


def test_the_brightness_of_the_image_does_not_matter(phantom, case):
    other = simulated_case("head", 0, 1000 * phantom((48, 40)), Receiver(coils=4))
    np.testing.assert_allclose(other.truth, case.truth, rtol=1e-4, atol=1e-3)


def test_slices_have_their_own_noise_whatever_else_is_evaluated(phantom, case):
    same = simulated_case("head", 0, phantom((48, 40)), Receiver(coils=4))
    np.testing.assert_array_equal(same.kspace, case.kspace)
    other = simulated_case("head", 1, phantom((48, 40)), Receiver(coils=4))
    seeded = simulated_case("head", 0, phantom((48, 40)), Receiver(coils=4, seed=1))
    for one in (other, seeded):
        assert np.abs(one.kspace - case.kspace).max() > 1


def test_undersampling_measures_what_the_pattern_says(case):
    pattern = parse_pattern("random1d:4:0.1")
    kspace = case.undersampled(pattern, seed=0)
    assert kspace.data.shape == (4, 1, 48, 40)
    assert kspace.mask.sum() == 12 * 40
    np.testing.assert_array_equal(kspace.data[:, 0], case.kspace * kspace.mask[0])
    again, other = case.undersampled(pattern, seed=0), case.undersampled(pattern, seed=1)
    np.testing.assert_array_equal(again.mask, kspace.mask)
    assert (other.mask != kspace.mask).any()


def test_what_was_never_measured_stays_so(case, tmp_path):
    measured = case.measured.copy()
    measured[:8] = False
    partial = replace(case, measured=measured)
    assert not partial.undersampled(parse_pattern("uniform1d:1"), 0).mask[0, :8].any()
    lines = np.zeros(48)
    lines[2] = 1
    np.save(tmp_path / "top.npy", lines)
    with pytest.raises(DataError, match="measures nothing of head, slice 0"):
        partial.undersampled(parse_pattern(str(tmp_path / "top.npy")), 0)


def test_brightening_changes_object_and_data_alike(case):
    change = np.zeros((48, 40), np.float32)
    change[20:24, 18:22] = 0.5
    brighter = case.brightened(change)
    np.testing.assert_allclose(brighter.truth, case.truth * (1 + change))
    found = magnitude(brighter.kspace) - magnitude(case.kspace)
    np.testing.assert_allclose(found[change == 0], 0, atol=1e-3)
    expected = 0.5 * case.truth[20:24, 18:22]
    np.testing.assert_allclose(found[20:24, 18:22], expected, atol=2.5)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_slices_without_an_image(value):
    with pytest.raises(DataError, match="Slice 3 of 'air' is empty or holds values that are not"):
        simulated_case("air", 3, np.full((8, 8), value), Receiver())


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [
        (40, 1, [20]),
        (9, 1, [4]),
        (40, 2, [15, 25]),
        (16, 4, [5, 7, 9, 11]),
        (4, 3, [1, 2, 3]),
        (4, 9, [0, 1, 2, 3]),
        (1, 3, [0]),
        (0, 3, []),
        (12, 11, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_slices_of_the_middle(length, count, expected):
    assert central_slices(length, count) == expected


def test_no_slice_counts_twice():
    for length in range(1, 60):
        for count in range(1, length + 1):
            assert len(set(central_slices(length, count))) == count

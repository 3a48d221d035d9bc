from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.echo import echo_offset, echo_phase
from gadget.mri.sampling.masks import random_lines, uniform_lines


def _moved(scan, ky, kx, mask):
    """K-space `[coil, ky, kx]` whose echo is elsewhere, with a pattern that is not moved."""
    return np.roll(scan.kspace.data[:, 0], (ky, kx), (1, 2)) * mask


@pytest.mark.parametrize("shape", [(48, 40), (47, 41)])
@pytest.mark.parametrize("offset", [(0, 0), (9, 0), (0, -12), (-8, 15)])
def test_the_echo_of_a_complete_scan_is_found(measure, shape, offset):
    mask = np.ones(shape, bool)
    scan = measure(shape, mask=mask, noise=0.02)
    moved = _moved(scan, *offset, mask)
    assert echo_offset(moved, mask) == offset
    moved[:, 3, 5] = 0.5 * np.abs(moved).max()  # a spike is no echo
    assert echo_offset(moved, mask) == offset
    image, moved_image = (ifftc(k)[0] for k in (scan.kspace.data[:, 0], _moved(scan, *offset, 1)))
    np.testing.assert_allclose(image * echo_phase(shape, offset), moved_image, atol=1e-5)


def test_an_object_may_have_a_phase(measure):
    mask = np.ones((48, 40), bool)
    scan = measure((48, 40), mask=mask)
    assert echo_offset(_moved(scan, 3, -4, mask), mask) == (0, 0)


@pytest.mark.parametrize("centre", [0, 0.25])
def test_only_what_was_measured_around_it_is_moved(measure, centre):
    """The complete lines are the centre, whatever they hold; readouts are whole."""
    lines = uniform_lines(48, 4, centre)
    mask = np.broadcast_to(lines[:, None], (48, 40))
    scan = measure((48, 40), mask=np.ones((48, 40), bool))
    assert echo_offset(_moved(scan, 0, 10, mask), mask) == (0, 10)
    assert echo_offset(_moved(scan, 8, 0, mask), mask)[0] == (0 if centre else 8)
    assert echo_offset(_moved(scan, 8, 0, 1), np.roll(mask, 8, 0)) == (8, 0)


def test_an_echo_that_was_not_measured_is_not_sought(measure):
    lines = random_lines(48, 2, 0.5, np.random.default_rng(0))
    lines[18:31] = False
    lines[[*range(8, 18), *range(31, 40)]] = True
    mask = np.broadcast_to(lines[:, None], (48, 40))
    assert echo_offset(_moved(measure((48, 40), mask=mask), 0, 0, mask), mask) == (0, 0)


def test_an_asymmetric_echo_is_found(measure):
    mask = np.ones((48, 96), bool)
    mask[:, :24] = False
    scan = measure((48, 96), mask=mask)
    moved = np.roll(mask, -12, 1)
    assert echo_offset(_moved(scan, 0, -12, moved), moved) == (0, -12)

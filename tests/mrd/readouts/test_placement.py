from __future__ import annotations

import ismrmrd
import pytest

from gadget.errors import DataError
from gadget.mrd.readouts.placement import grid_width, line_position, readout_center, readout_width


def _header(ky: int = 0, kz: int = 0) -> ismrmrd.AcquisitionHeader:
    header = ismrmrd.AcquisitionHeader()
    header.idx.kspace_encode_step_1, header.idx.kspace_encode_step_2 = ky, kz
    return header


@pytest.mark.parametrize(
    ("limits", "ky", "expected"),
    [
        ({}, 3, 3),
        ({"kspace_encoding_step_1": (0, 7, 4)}, 0, 0),
        ({"kspace_encoding_step_1": (0, 4, 1)}, 1, 4),  # partial Fourier
        ({"kspace_encoding_step_1": (0, 4, 1)}, 4, 7),
        ({"kspace_encoding_step_1": (10, 17, 14)}, 14, 4),
    ],
)
def test_lines_lie_relative_to_the_centre(make_scan, limits, ky, expected):
    encoding = make_scan(limits=limits).header.encodings[0]
    assert line_position(encoding, _header(ky)) == (0, expected)


def test_odd_matrices_have_their_centre_at_half(make_scan):
    scan = make_scan(encoded=(16, 9, 5), limits={"kspace_encoding_step_2": (0, 4, 2)})
    assert line_position(scan.header.encodings[0], _header(4, 2)) == (2, 4)


def test_the_partition_of_a_2d_scan_may_have_any_centre(make_scan):
    encoding = make_scan(limits={"kspace_encoding_step_2": (0, 0, 16)}).header.encodings[0]
    assert line_position(encoding, _header(3, 0)) == (0, 3)
    assert line_position(encoding, _header(3, 16)) == (0, 3)


@pytest.mark.parametrize("limits", [{}, {"kspace_encoding_step_2": (0, 2, 1)}])
def test_the_partition_of_a_2d_scan_may_number_the_slices(make_scan, limits):
    encoding = make_scan(limits=limits).header.encodings[0]
    header = _header(3, 2)
    header.idx.slice = 2
    assert line_position(encoding, header) == (0, 3)
    header.idx.slice = 0
    with pytest.raises(DataError, match="would lie at ky 3, kz 2, outside"):
        line_position(encoding, header)


@pytest.mark.parametrize(("ky", "kz"), [(8, 0), (100, 0), (0, 1)])
def test_refuses_lines_outside_the_matrix(make_scan, ky, kz):
    encoding = make_scan(limits={"kspace_encoding_step_1": (0, 7, 4)}).header.encodings[0]
    with pytest.raises(DataError, match="outside the encoded matrix of 8 x 1"):
        line_position(encoding, _header(ky, kz))


def test_limits_with_a_wrong_centre_are_an_error(make_scan):
    encoding = make_scan(limits={"kspace_encoding_step_1": (0, 7, 0)}).header.encodings[0]
    with pytest.raises(DataError, match="Check encodingLimits"):
        line_position(encoding, _header(7))


def test_leaves_out_frequencies_that_the_limits_declare_beyond_the_matrix(make_scan):
    encoding = make_scan(limits={"kspace_encoding_step_1": (0, 9, 5)}).header.encodings[0]
    assert line_position(encoding, _header(0)) is None
    assert line_position(encoding, _header(1)) == (0, 0)


@pytest.mark.parametrize(
    ("samples", "center", "width"),
    [
        (16, 8, 16),
        (8, 4, 8),  # oversampling was removed before
        (12, 4, 16),  # asymmetric echo
        (6, 2, 8),  # asymmetric echo, oversampling removed
        (4, 2, 16),  # low resolution
    ],
)
def test_finds_the_grid_of_a_readout(make_scan, samples, center, width):
    assert readout_width(make_scan().header.encodings[0], samples, center) == width


@pytest.mark.parametrize(
    ("samples", "center", "before", "after", "width"),
    [
        (20, 9, 1, 3, 16),
        (9, 5, 1, 0, 8),  # oversampling removed, samples that are too many, too
        (8, 4, 2, 0, 8),
        (16, 8, 4, 4, 16),  # a whole readout of which the middle is valid
        (12, 4, 2, 0, 16),
    ],
)
def test_finds_the_grid_of_a_readout_with_samples_to_discard(
    make_scan, samples, center, before, after, width
):
    header = _header()
    header.number_of_samples, header.center_sample = samples, center
    header.discard_pre, header.discard_post = before, after
    assert grid_width(make_scan().header.encodings[0], header) == width


@pytest.mark.parametrize(("samples", "center"), [(32, 16), (16, 4), (10, 0)])
def test_refuses_readouts_that_fit_no_grid(make_scan, samples, center):
    with pytest.raises(DataError, match="does not fit the encoded matrix of 16"):
        readout_width(make_scan().header.encodings[0], samples, center)


@pytest.mark.parametrize(("samples", "center", "width"), [(8, 3, 8), (8, 5, 8), (9, 4, 9)])
def test_gadgetron_rounds_down_what_is_left_of_a_readout(make_scan, samples, center, width):
    scan = make_scan(recon_fov=(2 * 8.75, 16.0, 5.0))
    assert readout_width(scan.header.encodings[0], samples, center) == width


def test_a_centre_sample_of_zero_means_the_middle():
    assert readout_center(16, 0) == 8
    assert readout_center(16, 4) == 4

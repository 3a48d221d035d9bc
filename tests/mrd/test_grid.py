from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.grid import (
    LineGrid,
    line_position,
    readout_center,
    readout_width,
    remove_oversampling,
)
from gadget.mri.fourier import fftc, ifftc


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


@pytest.mark.parametrize(("samples", "center"), [(32, 16), (16, 4), (10, 0)])
def test_refuses_readouts_that_fit_no_grid(make_scan, samples, center):
    with pytest.raises(DataError, match="does not fit the encoded matrix of 16"):
        readout_width(make_scan().header.encodings[0], samples, center)


def test_a_centre_sample_of_zero_means_the_middle():
    assert readout_center(16, 0) == 8
    assert readout_center(16, 4) == 4


@pytest.mark.parametrize(("width", "size"), [(16, 8), (15, 8), (16, 7), (15, 7), (9, 9)])
def test_cropping_keeps_the_middle_of_the_field_of_view(width, size):
    random = np.random.default_rng(0)
    image = (random.normal(size=(2, 3, width)) + 1j).astype(np.complex64)
    kspace = np.fft.ifftshift(fftc(image, (-1,)), -1).astype(np.complex64)
    cropped, weight = remove_oversampling(kspace, np.ones((2, width), np.float32), size)
    start = width // 2 - size // 2
    got = ifftc(np.fft.fftshift(cropped, -1), (-1,))
    np.testing.assert_allclose(got, image[..., start : start + size], atol=1e-6)
    assert weight.shape == (2, size)
    assert (weight == 1).all()


def test_cropping_keeps_white_noise_white():
    random = np.random.default_rng(1)
    noise = random.normal(size=(400, 1, 32)) + 1j * random.normal(size=(400, 1, 32))
    cropped, _ = remove_oversampling(noise.astype(np.complex64), np.ones((400, 32), np.float32), 16)
    assert np.mean(np.abs(cropped) ** 2) == pytest.approx(2, rel=0.05)
    neighbours = np.mean(cropped[..., 1:] * cropped[..., :-1].conj())
    assert abs(neighbours) < 0.1


def test_cropping_marks_what_borders_on_unmeasured_samples(make_scan):
    grid = LineGrid(
        make_scan(encoded=(64, 8, 1), encoded_fov=(64, 16, 5)).header.encodings[0], 1, 64
    )
    grid.add((0, 4), np.ones((1, 48), np.complex64), -16, _header())
    data, weight, headers = grid.to_dense()
    assert data.shape == (1, 1, 8, 16)
    measured = np.flatnonzero(weight[0, 4])
    # k = -16 of 64 is k = -4 of 16; two more are lost to interpolation.
    assert measured[0] == 8 - 4 + 2
    assert measured[-1] == 15
    assert not data[..., weight[0] == 0].any()
    assert headers[0, 4]["discard_pre"] == measured[0]
    assert headers[0, 4]["number_of_samples"] == 16


def test_refuses_readouts_of_different_rates_in_one_image(make_scan):
    grid = LineGrid(make_scan().header.encodings[0], 1, 8)
    with pytest.raises(DataError, match="one sampling rate"):
        grid.add((0, 0), np.ones((1, 16), np.complex64), -8, _header())


def test_holds_more_lines_than_a_block_and_forgets_them(make_scan):
    scan = make_scan(encoded=(16, 40, 1), recon=(8, 40, 1))
    grid = LineGrid(scan.header.encodings[0], 2, 16)
    for ky in range(40):
        grid.add((0, ky), np.full((2, 16), ky, np.complex64), -8, _header(ky))
    kept = grid.to_dense(keep=True)[0]
    again, _, headers = grid.to_dense()
    np.testing.assert_array_equal(kept, again)
    np.testing.assert_allclose(again[0, 0, :, 4].real, np.arange(40), rtol=0.5)
    assert headers["idx"]["kspace_encode_step_1"].ravel().tolist() == list(range(40))
    assert len(grid) == 0

from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.buffers.grid import LineGrid


def _header(ky: int = 0, kz: int = 0) -> ismrmrd.AcquisitionHeader:
    header = ismrmrd.AcquisitionHeader()
    header.idx.kspace_encode_step_1, header.idx.kspace_encode_step_2 = ky, kz
    return header


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


def test_lines_of_zeros_count_as_not_measured_wherever_they_come_from(make_scan):
    grid = LineGrid(make_scan(encoded=(8, 4, 1)).header.encodings[0], 1, 8)
    for ky, value in enumerate((1, 0, 1)):
        grid.add((0, ky), np.full((1, 8), value, np.complex64), -4, _header(ky))
    assert grid.has_empty_lines
    assert np.flatnonzero(grid.to_dense()[1].any((0, 2))).tolist() == [0, 2]
    assert not grid.has_empty_lines

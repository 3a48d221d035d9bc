from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.buffers.buffer import central_header, grid_field_of_view
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE


def _headers(lines: list[tuple[int, int]], calibration: tuple[int, int] | None = None):
    headers = np.zeros((4, 9), HEADER_DTYPE)
    for number, line in enumerate([*lines, *([calibration] if calibration else [])]):
        headers[line]["number_of_samples"] = 8
        headers[line]["scan_counter"] = number
    if calibration:
        headers[calibration]["flags"] = flags.CALIBRATION
    return headers


def test_the_central_header_is_that_of_the_nearest_image_line():
    headers = _headers([(0, 0), (2, 6), (1, 5), (3, 8)], calibration=(2, 4))
    assert central_header(headers).scan_counter == 2


def test_calibration_lines_that_are_image_lines_count():
    headers = _headers([(0, 0)], calibration=(2, 4))
    headers[2, 4]["flags"] = flags.CALIBRATION | flags.CALIBRATION_AND_IMAGING
    assert central_header(headers).scan_counter == 1


def test_a_navigator_is_no_central_line():
    headers = _headers([(0, 0), (2, 4)])
    headers[2, 4]["flags"] = flags.bits(ismrmrd.ACQ_IS_NAVIGATION_DATA)
    assert central_header(headers).scan_counter == 0


def test_no_image_line_is_an_error():
    with pytest.raises(DataError, match="no image line"):
        central_header(_headers([], calibration=(2, 4)))


def test_field_of_view_keeps_the_size_of_pixels(make_scan):
    encoding = make_scan(encoded=(15, 8, 1), encoded_fov=(30, 16, 5)).header.encodings[0]
    assert grid_field_of_view(encoding, 8) == (16.0, 16.0, 5.0)

from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.images.make_image import make_image
from gadget.mrd.xml_header.header import Space

RECON = Space((6, 5, 2), (120.0, 100.0, 8.0))


def _reference() -> ismrmrd.AcquisitionHeader:
    head = ismrmrd.AcquisitionHeader()
    head.measurement_uid = 4711
    head.position, head.patient_table_position = (1, 2, 3), (4, 5, 6)
    head.read_dir, head.phase_dir, head.slice_dir = (0, 1, 0), (0, 0, 1), (1, 0, 0)
    head.acquisition_time_stamp = 123456
    head.physiology_time_stamp = (7, 8, 9)
    head.user_int, head.user_float = tuple(range(8)), tuple(range(8))
    for number, name in enumerate(("average", "slice", "contrast", "phase", "repetition", "set")):
        setattr(head.idx, name, number + 1)
    return head


def _make(array, **changes):
    given = {"image_index": 3, "series_index": 9, "image_type": ismrmrd.IMTYPE_MAGNITUDE}
    return make_image(array, _reference(), RECON, **{**given, **changes})


def test_everything_about_place_and_time_is_copied():
    header = _make(np.zeros((2, 5, 6), np.float32)).getHead()
    reference = _reference()
    for name in (
        "position",
        "read_dir",
        "phase_dir",
        "slice_dir",
        "patient_table_position",
        "physiology_time_stamp",
        "user_int",
        "user_float",
    ):
        assert tuple(getattr(header, name)) == tuple(getattr(reference, name))
    assert header.measurement_uid == 4711
    assert header.acquisition_time_stamp == 123456
    for name in ("slice", "contrast", "phase", "repetition", "set"):
        assert getattr(header, name) == getattr(reference.idx, name)
    assert header.average == 0
    assert tuple(header.field_of_view) == (120, 100, 8)
    assert tuple(header.matrix_size) == (6, 5, 2)
    assert (header.image_index, header.image_series_index) == (3, 9)
    assert header.image_type == ismrmrd.IMTYPE_MAGNITUDE


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.uint16])
def test_pixels_keep_their_order_over_the_wire(dtype):
    array = np.arange(60).reshape(2, 5, 6).astype(dtype)
    image = ismrmrd.Image.from_bytes(_make(array).to_bytes())
    assert image.data.dtype == dtype
    np.testing.assert_array_equal(image.data, array[None])


def test_coils_become_channels():
    image = _make(np.zeros((4, 2, 5, 6), np.complex64))
    assert image.channels == 4
    assert image.data.shape == (4, 2, 5, 6)


def test_arrays_that_do_not_lie_in_order_are_put_in_order():
    array = np.arange(60, dtype=np.float32).reshape(6, 5, 2).transpose()
    np.testing.assert_array_equal(ismrmrd.Image.from_bytes(_make(array).to_bytes()).data[0], array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 6), np.float32),
        np.zeros((2, 5, 6), np.int16),
        np.zeros((2, 5, 6), np.int32),
        np.zeros((2, 5, 6)),
    ],
)
def test_refuses_what_others_cannot_read(array):
    with pytest.raises(DataError, match="An image must be"):
        _make(array)


@pytest.mark.parametrize("change", [{"image_index": 70000}, {"series_index": -1}])
def test_refuses_numbers_that_would_wrap_round(change):
    with pytest.raises(DataError, match=r"from 0 to 65535"):
        _make(np.zeros((2, 5, 6), np.float32), **change)


def test_metadata_travel_along():
    image = _make(np.zeros((2, 5, 6), np.float32), meta={"DataRole": "Image", "Many": [1, 2]})
    read = ismrmrd.Image.from_bytes(image.to_bytes())
    assert read.meta["DataRole"] == "Image"
    assert read.meta["Many"] == ["1", "2"]

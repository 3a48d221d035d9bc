from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.errors import DataError
from gadget.mrd.images.counter import ImageCounter

NOISE = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
COIL_CORRECTION = 1 << (ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA - 1)
CALIBRATION = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1)


def readout(flags=0, encoding=0, **counters):
    head = ismrmrd.AcquisitionHeader()
    head.flags, head.encoding_space_ref = flags, encoding
    for name, value in counters.items():
        setattr(head.idx, name, value)
    return b"\xf0\x03" + bytes(head)


def image(role="Image", **counters):
    made = ismrmrd.Image.from_array(np.zeros((1, 1, 2, 2), np.float32), transpose=False)
    head = made.getHead()
    for name, value in counters.items():
        setattr(head, name, value)
    made.setHead(head)
    made.attribute_string = (
        f"<ismrmrdMeta><meta><name>DataRole</name><value>{role}</value></meta></ismrmrdMeta>"
    )
    return made


def watched(*messages):
    counter = ImageCounter()
    assert list(counter.count_readouts(messages)) == list(messages)
    return counter


def test_lines_of_one_image_count_once():
    counter = watched(
        readout(NOISE, slice=7),
        readout(CALIBRATION, slice=8),
        readout(kspace_encode_step_1=1),
        readout(kspace_encode_step_1=2, average=1, segment=1),
        readout(slice=1),
        readout(slice=1, repetition=1),
        readout(encoding=1),
        b"\x02\x04" + bytes(400),
    )
    assert (counter.readouts, counter.expected) == (7, 4)


def test_flags_of_coil_correction_count_where_there_are_other_image_lines():
    flagged = [readout(COIL_CORRECTION, slice=1), readout(COIL_CORRECTION, slice=2)]
    assert watched(*flagged).expected == 2
    assert watched(*flagged, readout()).expected == 1


def test_standard_deviations_are_no_images():
    counter = watched(readout(), readout(slice=1))
    counter.add_image(image())
    counter.add_image(image("STD_MAP"))
    assert counter.summary == "1 image and 1 standard deviation"
    with pytest.raises(DataError, match=r"Only 1 of 2 images .* slice 1"):
        counter.check()
    counter.add_image(image(slice=1))
    counter.check()


def test_noise_alone_is_no_scan():
    with pytest.raises(DataError, match="noise or adjustment scan"):
        watched(readout(NOISE)).check()


def test_only_some_of_many_are_named():
    with pytest.raises(DataError, match=r"slice 4, .* and 5 more\."):
        watched(*(readout(slice=number) for number in range(10))).check()


def test_twice_the_same_image_does_not_stand_for_another():
    counter = watched(*(readout(slice=number) for number in range(4)))
    for number in (0, 0, 1, 1):
        counter.add_image(image(slice=number))
    with pytest.raises(DataError, match=r"Only 2 of 4 images .* slice 2, .*; .* slice 3"):
        counter.check()


def test_one_series_does_not_stand_for_another():
    counter = watched(*(readout(slice=number) for number in range(3)))
    for number in range(3):
        counter.add_image(image(slice=number, image_series_index=1))
    counter.check()
    for number in (0, 1):
        counter.add_image(image(slice=number, image_series_index=10))
    with pytest.raises(DataError, match=r"Only 2 of 3 images .* slice 2"):
        counter.check()


def test_a_map_of_several_images_is_no_series_of_them_all():
    counter = watched(*(readout(slice=s, contrast=c) for s in range(2) for c in range(2)))
    for s in range(2):
        counter.add_image(image(slice=s, image_series_index=2))
        for c in range(2):
            counter.add_image(image(slice=s, contrast=c, image_series_index=1))
    counter.check()


@pytest.mark.parametrize("counters", [{}, {"slice": 9}])
def test_a_server_that_counts_in_its_own_way_is_believed(counters):
    counter = watched(*(readout(slice=number) for number in range(3)))
    for _ in range(3):
        counter.add_image(image(**counters))
    counter.check()


def test_encodings_have_series_of_their_own():
    counter = watched(*(readout(slice=s) for s in range(3)), readout(encoding=1, contrast=1))
    for s in range(3):
        counter.add_image(image(slice=s))
    counter.add_image(image(contrast=1, image_series_index=1))
    counter.check()

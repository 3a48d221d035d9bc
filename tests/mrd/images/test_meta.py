from __future__ import annotations

import ismrmrd
import numpy as np
import pytest

from gadget.mrd.images.meta import (
    STD_ROLE,
    display_window,
    image_meta,
    is_std_map,
    parse_meta,
    to_meta,
)
from gadget.mrd.xml_header.header_reader import parse_header


def _meta(scan, contrast=1, **given):
    header = parse_header(scan.xml)
    reference = scan.readout(np.zeros((1, 4)), contrast=contrast).getHead()
    values = to_meta(image_meta(header, reference, **given))
    return ismrmrd.Meta.deserialize(values.serialize())


def test_both_spellings_are_written(make_scan):
    meta = _meta(
        make_scan(),
        role="STD_MAP",
        comments=["fast"],
        description="_score",
        details={"steps": 30, "seed": None, "sha256": "ab"},
    )
    for name in ("DataRole", "GADGETRON_DataRole"):
        assert meta[name] == "STD_MAP"
    for name in ("ImageComment", "ImageComments", "GADGETRON_ImageComment"):
        assert meta[name] == ["AI", "score-gadget", "fast"]
    for name in ("ImageProcessingHistory", "GADGETRON_ImageProcessingHistory"):
        assert meta[name] == ["AI", "score-gadget"]
    for name in (
        "SequenceDescriptionAdditional",
        "SeriesDescriptionAdditional",
        "GADGETRON_SeqDescription",
    ):
        assert meta[name] == "_score"
    assert meta["Keep_image_geometry"] == "1"
    assert [float(part) for part in meta["ImageRowDir"]] == [1, 0, 0]
    assert [float(part) for part in meta["ImageColumnDir"]] == [0, 1, 0]
    assert meta["ScoreGadget_steps"] == "30"
    assert meta["ScoreGadget_sha256"] == "ab"
    assert "ScoreGadget_seed" not in meta


def test_times_are_those_of_the_contrast(make_scan):
    extra = "<sequenceParameters><TE>5.5</TE><TE>11</TE><TI>900</TI></sequenceParameters>"
    meta = _meta(make_scan(extra=extra))
    assert meta["EchoTime"] == meta["GADGETRON_TE"] == "11"
    assert meta["InversionTime"] == meta["GADGETRON_TI"] == "900"
    assert "EchoTime" not in _meta(make_scan())
    # The third echo has neither of two times.
    third = _meta(make_scan(extra=extra), contrast=2)
    assert "EchoTime" not in third
    assert third["InversionTime"] == "900"


def test_texts_survive_the_xml():
    values = {
        "tuple": ("a", "b"),
        "array": [1, 2.5],
        "control": "a\x00b\nc",
        "umlaut": "Müller",
        "empty": "",
        "none": [],
        "flag": True,
        "number": 0.1 + 0.2,
    }
    text = to_meta(values).serialize()
    assert text.isascii()
    meta = ismrmrd.Meta.deserialize(text)
    assert meta == {
        "tuple": ["a", "b"],
        "array": ["1", "2.5"],
        "control": "a b c",
        "umlaut": "M?ller",
        "flag": "true",
        "number": "0.3",
    }


def test_empty_texts_of_others_stay_empty():
    meta = ismrmrd.Meta(ImageComment="", history=["a", ""], role="Image")
    assert parse_meta(meta.serialize().encode()) == meta


def test_the_window_holds_the_brightest_pixels():
    image = np.linspace(0, 1000, 10001, dtype=np.float32)
    center, width = display_window(image)
    assert width == 1094
    assert center == 547


def test_there_is_no_window_for_a_range_that_whole_numbers_cannot_divide():
    assert display_window(np.linspace(0, 1, 100, dtype=np.float32)) is None
    assert display_window(np.zeros(0, np.float32)) is None
    assert display_window(np.full(9, np.nan, np.float32)) is None


@pytest.mark.parametrize(
    ("role", "deviation"), [(STD_ROLE, True), (["Image", STD_ROLE], True), ("Image", False)]
)
def test_a_standard_deviation_is_told_by_its_role(role, deviation):
    assert is_std_map(to_meta({"DataRole": role})) == deviation
    assert not is_std_map({})

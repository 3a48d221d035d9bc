from __future__ import annotations

import importlib
import time
import warnings

import ismrmrd.xsd
import pytest

from gadget.errors import DataError
from gadget.mrd.xml_header import schema
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mrd.xml_header.schema import sanitize_header


def test_keeps_a_header_that_the_schema_knows_byte_for_byte(make_scan):
    xml = make_scan(limits={"slice": (0, 3, 0)}, calibration="separate").xml
    assert sanitize_header(xml) == xml


def test_drops_unknown_elements_at_every_depth(make_scan):
    extra = (
        '<v:private xmlns:v="urn:vendor"><v:encoding/></v:private><!-- a comment -->'
        "<acquisitionSystemInformation><coolant>He</coolant><receiverChannels>3</receiverChannels>"
        "</acquisitionSystemInformation>"
    )
    xml = make_scan(extra=extra, limits={"sliceGroup": (0, 1, 0), "slice": (0, 3, 0)}).xml
    with pytest.raises(Exception, match="nknown property"):
        ismrmrd.xsd.CreateFromDocument(xml)
    clean = sanitize_header(xml)
    header = ismrmrd.xsd.CreateFromDocument(clean)
    assert header.acquisitionSystemInformation.receiverChannels == 3
    assert header.encoding[0].encodingLimits.slice.maximum == 3
    assert b"coolant" not in clean
    assert b"sliceGroup" not in clean
    assert parse_header(clean).encodings[0].encoded == parse_header(xml).encodings[0].encoded


def test_gives_a_header_without_namespace_the_right_one(make_scan):
    xml = make_scan().xml.replace(b' xmlns="http://www.ismrm.org/ISMRMRD"', b"")
    assert ismrmrd.xsd.CreateFromDocument(sanitize_header(xml)).encoding[0].encodedSpace


def test_a_name_in_another_encoding_does_not_cost_the_scan(make_scan):
    name = "<subjectInformation><patientName>Müller</patientName></subjectInformation>"
    xml = make_scan(extra=name).xml.decode()
    for declaration in ('<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-8"?>'):
        raw = xml.replace('<?xml version="1.0"?>', declaration).encode("latin-1")
        assert parse_header(raw).encodings
        clean = ismrmrd.xsd.CreateFromDocument(sanitize_header(raw))
        assert clean.subjectInformation.patientName == "Müller"


@pytest.mark.parametrize(
    ("before", "long"),
    [(b"<encoding>", b"<!--%s--><encoding>"), (b"<ismrmrdHeader", b'<ismrmrdHeader a="%s"')],
)
def test_the_time_does_not_grow_with_the_square_of_the_length(make_scan, before, long):
    xml = make_scan().xml.replace(before, long % (2**23 * b"x"), 1)
    started = time.process_time()
    assert sanitize_header(xml) == xml
    assert time.process_time() - started < 1.5  # 2.5 s or more with the square, 0.4 s without


def test_of_all_warnings_only_those_of_values_in_a_header_are_silenced(make_scan):
    patient = "<subjectInformation><patientBirthdate>1980</patientBirthdate></subjectInformation>"
    xml = make_scan(extra=patient).xml
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        importlib.reload(schema)  # whose filter pytest has put away
        schema.sanitize_header(xml)
        warnings.warn("Failed to convert value to another unit", stacklevel=1)
    assert [str(one.message) for one in told] == ["Failed to convert value to another unit"]


def test_a_header_that_gadgetron_python_cannot_read_is_an_error(make_scan):
    xml = make_scan().xml
    start, end = xml.index(b"<experimentalC"), xml.index(b"</experimentalConditions>")
    broken = xml[:start] + xml[end + len(b"</experimentalConditions>") :]
    try:
        ismrmrd.xsd.CreateFromDocument(broken)
    except Exception:  # noqa: BLE001
        with pytest.raises(DataError, match="experimentalConditions"):
            sanitize_header(broken)
    else:  # older versions of ismrmrd do without
        assert sanitize_header(broken) == broken

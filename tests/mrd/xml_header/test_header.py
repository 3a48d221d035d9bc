from __future__ import annotations

import pytest

from gadget.errors import DataError
from gadget.mrd.xml_header.header import Space
from gadget.mrd.xml_header.header_reader import parse_header
from gadget.mrd.xml_header.limits import Limit


def test_reads_what_a_reconstruction_needs(make_scan):
    scan = make_scan(
        limits={"kspace_encoding_step_1": (0, 6, 3), "average": (0, 2, 0)}, calibration="embedded"
    )
    header = parse_header(scan.xml)
    (encoding,) = header.encodings
    assert encoding.encoded == Space((16, 8, 1), (32.0, 16.0, 5.0))
    assert encoding.recon == Space((8, 8, 1), (16.0, 16.0, 5.0))
    assert encoding.limits == {
        "kspace_encoding_step_1": Limit(0, 6, 3),
        "average": Limit(0, 2, 0),
    }
    assert encoding.acceleration == (2, 1)
    assert encoding.merges_calibration


def test_reads_the_system_and_the_protocol(make_scan):
    extra = (
        "<subjectInformation><patientName>Secret</patientName></subjectInformation>"
        "<measurementInformation><protocolName>T2</protocolName></measurementInformation>"
        "<acquisitionSystemInformation><relativeReceiverNoiseBandwidth>0.79"
        "</relativeReceiverNoiseBandwidth></acquisitionSystemInformation>"
        "<sequenceParameters><TE>5.5</TE><TE>11</TE></sequenceParameters>"
    )
    header = parse_header(make_scan(extra=extra).xml)
    assert header.relative_noise_bandwidth == 0.79
    assert header.protocol_name == "T2"
    assert header.echo_times_ms == (5.5, 11.0)
    assert "Secret" not in repr(header)


def test_tolerates_vendor_elements_and_unreadable_numbers(make_scan):
    extra = (
        '<v:private xmlns:v="urn:vendor"><v:encoding/></v:private><newThing/>'
        "<acquisitionSystemInformation><relativeReceiverNoiseBandwidth>wide"
        "</relativeReceiverNoiseBandwidth></acquisitionSystemInformation>"
    )
    header = parse_header(make_scan(extra=extra).xml)
    assert header.encodings[0].encoded.matrix == (16, 8, 1)
    assert header.relative_noise_bandwidth is None


@pytest.mark.parametrize(
    ("xml", "sentence"),
    [
        (b"", "empty"),
        (b"\0", "empty"),
        (b"<ismrmrdHeader>", "well-formed"),
        (b"<html/>", "must be an <ismrmrdHeader>, got <html>"),
        (b"<ismrmrdHeader/>", "no <encoding>"),
        (b"<!DOCTYPE x><ismrmrdHeader/>", "document type"),
    ],
)
def test_refuses_what_is_no_header(xml, sentence):
    with pytest.raises(DataError, match=sentence):
        parse_header(xml)


def test_refuses_a_trajectory_that_is_not_cartesian(make_scan):
    with pytest.raises(DataError, match="'radial'"):
        parse_header(make_scan(trajectory="radial").xml)


def test_an_encoding_that_is_not_cartesian_is_refused_where_it_is_used(make_scan):
    xml = make_scan().xml
    start, end = xml.index(b"<encoding>"), xml.index(b"</encoding>") + len(b"</encoding>")
    cartesian = xml[start:end]
    spiral = cartesian.replace(b">cartesian<", b">spiral<")
    header = parse_header(xml[:start] + spiral + cartesian + xml[end:])
    assert header.encoding(1).trajectory == "cartesian"
    with pytest.raises(DataError, match="'spiral'"):
        header.encoding(0)


@pytest.mark.parametrize("partitions", [{}, {"kspace_encoding_step_2": (0, 0, 0)}])
@pytest.mark.parametrize("recon_z", [1, 6])
def test_a_stack_of_slices_is_no_volume(make_scan, recon_z, partitions):
    limits = {**partitions, "slice": (0, 5, 0)}
    thick = 5.0 * recon_z
    (encoding,) = make_scan(
        encoded=(16, 8, 6),
        encoded_fov=(32.0, 16.0, 30.0),
        recon=(8, 8, recon_z),
        recon_fov=(16.0, 16.0, thick),
        limits=limits,
    ).header.encodings
    assert encoding.encoded == Space((16, 8, 1), (32.0, 16.0, 5.0))
    assert encoding.recon == Space((8, 8, 1), (16.0, 16.0, 5.0))


def test_slabs_are_volumes(make_scan):
    scan = make_scan(encoded=(16, 8, 6), recon=(8, 8, 6), limits={"slice": (0, 1, 0)})
    assert scan.header.encodings[0].encoded.matrix == (16, 8, 6)


@pytest.mark.parametrize("matrix", [(0, 8, 1), (16, -1, 1), (70000, 8, 1), (60000, 60000, 8)])
def test_refuses_absurd_matrices(make_scan, matrix):
    with pytest.raises(DataError, match="matrix size in <encodedSpace> of encoding 0"):
        parse_header(make_scan(encoded=matrix).xml)


@pytest.mark.parametrize("length", ["0", "-3", "nan", "wide"])
def test_refuses_absurd_fields_of_view(make_scan, length):
    with pytest.raises(DataError, match="field of view in <encodedSpace>"):
        parse_header(make_scan(encoded_fov=(length, 16, 5)).xml)


def test_names_an_encoding_that_does_not_exist(make_scan):
    with pytest.raises(DataError, match="encoding space 1, but the header describes 1"):
        make_scan().header.encoding(1)


@pytest.mark.parametrize(
    ("encoded", "fov", "expected"), [(16, 32.0, 8), (15, 30.0, 8), (9, 16.0, 9), (8, 8.0, 8)]
)
def test_readout_without_oversampling(make_scan, encoded, fov, expected):
    scan = make_scan(encoded=(encoded, 8, 1), encoded_fov=(fov, 16, 5))
    assert scan.header.encodings[0].recon_readout == expected


def test_a_document_type_cannot_hide_in_another_encoding():
    text = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><ismrmrdHeader/>'
    with pytest.raises(DataError, match="UTF-8"):
        parse_header(text.encode("utf-16"))

"""XML from elsewhere: plain, or the end of a sentence that says what is wrong."""

from __future__ import annotations

import pytest

from gadget.mrd.xml_header.safe_xml import parse_safe_xml, to_utf8

DOCUMENT_TYPE = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'


def test_plain_xml_is_read():
    assert parse_safe_xml("<a>µ</a>".encode()).text == "µ"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (DOCUMENT_TYPE.encode(), "^declares a document type or entities"),
        (DOCUMENT_TYPE.encode("utf-16"), "^is not text in UTF-8"),
        (b'<?xml version="1.0" encoding="cp037"?>' + DOCUMENT_TYPE.encode("cp037"), "^is not well"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "^is not well-formed XML"),
        (b"<a>", "^is not well-formed XML"),
    ],
)
def test_other_texts_are_refused(raw, words):
    with pytest.raises(ValueError, match=words):
        parse_safe_xml(raw)


@pytest.mark.parametrize("declaration", ["", "<?xml version='1.0' encoding='UTF-8'?>"])
def test_letters_of_a_narrower_encoding_are_read(declaration):
    text = f"{declaration}<a>Müller€Ångström</a>"
    assert to_utf8(text.encode()) == to_utf8(text.encode("cp1252")) == text.encode()
    assert parse_safe_xml(to_utf8(b"<a>\x81</a>")).text == "\N{REPLACEMENT CHARACTER}"


def test_an_encoding_that_is_declared_is_believed():
    raw = "<?xml version='1.0' encoding='shift-jis'?><a>山田</a>".encode("shift-jis")
    assert to_utf8(raw) == raw

"""XML from elsewhere: plain, or the end of a sentence that says what is wrong."""

from __future__ import annotations

import pytest

from gadget.mrd.plain_xml import parse_plain_xml

DOCUMENT_TYPE = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'


def test_plain_xml_is_read():
    assert parse_plain_xml("<a>µ</a>".encode()).text == "µ"


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
        parse_plain_xml(raw)

"""Safe parsing of XML from other sources: no document types, no entities."""

from __future__ import annotations

import re
from xml.etree import ElementTree


def declares_entities(raw: bytes) -> bool:
    """Whether UTF-8 text may declare entities, which could expand to fill the memory."""
    return b"<!DOCTYPE" in raw or b"<!ENTITY" in raw


def to_utf8(raw: bytes) -> bytes:
    """Convert text with stray Windows-1252 or Latin-1 characters to UTF-8.

    Converters copy names as they find them: one letter of one must not cost the scan. A text that
    is in UTF-8, or declares another encoding, is returned as it came.
    """
    try:
        raw.decode()
    except UnicodeDecodeError:
        declared = re.match(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)""", raw)
        if declared is None or declared[1].lower() in (b"utf-8", b"utf8"):
            return raw.decode("cp1252", "replace").encode()
    return raw


def parse_safe_xml(raw: bytes) -> ElementTree.Element:
    """Parse UTF-8 text and return its root element.

    Raises
    ------
    ValueError
        It is no XML, or may declare entities. The message goes on from what the text is called.
    """
    if declares_entities(raw):
        raise ValueError("declares a document type or entities: leave them out")
    if b"\0" in raw:
        # UTF-16 would hide a document type from the lines above.
        raise ValueError("is not text in UTF-8: it holds bytes of value 0")
    try:
        return ElementTree.fromstring(raw)  # noqa: S314 - entities are refused above
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        # The last two come for encodings that nobody knows.
        raise ValueError(f"is not well-formed XML: {error}") from error

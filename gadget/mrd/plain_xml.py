"""XML that somebody else has written, without what could harm whoever reads it."""

from __future__ import annotations

import re
from xml.etree import ElementTree


def declares_entities(raw: bytes) -> bool:
    """Say whether a text in UTF-8 may declare entities, which could fill the memory."""
    return b"<!DOCTYPE" in raw or b"<!ENTITY" in raw


def in_utf8(raw: bytes) -> bytes:
    """Return a text in UTF-8 of one that should be, and holds letters of Windows-1252 or Latin-1.

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


def parse_plain_xml(raw: bytes) -> ElementTree.Element:
    """Return the root element of a text in UTF-8.

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

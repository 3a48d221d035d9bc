"""XML that somebody else has written, without what could harm whoever reads it."""

from __future__ import annotations

from xml.etree import ElementTree


def declares_entities(raw: bytes) -> bool:
    """Say whether a text in UTF-8 may declare entities, which could fill the memory."""
    return b"<!DOCTYPE" in raw or b"<!ENTITY" in raw


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

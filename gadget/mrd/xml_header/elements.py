"""The elements of the ISMRMRD XML header, whatever their namespace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar
from xml.etree import ElementTree

from gadget.errors import DataError
from gadget.mrd.xml_header.safe_xml import parse_safe_xml, to_utf8

Time = TypeVar("Time")


def header_root(raw: bytes) -> ElementTree.Element:
    """Return the root element of the text of a header.

    Raises
    ------
    DataError
        The text is empty, not XML, or not an ISMRMRD header.
    """
    raw = raw.strip(b"\0 \t\r\n")
    if not raw:
        raise DataError("The ISMRMRD header is empty: an XML text with <ismrmrdHeader> is needed.")
    try:
        root = parse_safe_xml(to_utf8(raw))
    except ValueError as error:
        raise DataError(f"The ISMRMRD header {error}.") from error
    if local_name(root) != "ismrmrdHeader":
        raise DataError(
            f"The header must be an <ismrmrdHeader>, got <{local_name(root)}>. "
            "Is this ISMRMRD raw data?"
        )
    return root


def local_name(node: ElementTree.Element) -> str:
    """Return an element's name without its namespace; an empty text for comments."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def children(node: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Return the child elements of that name, whatever their namespace."""
    return [child for child in node if local_name(child) == name]


def find(node: ElementTree.Element, *path: str) -> ElementTree.Element | None:
    """Return the first element at that path of names."""
    for name in path:
        found = children(node, name)
        if not found:
            return None
        node = found[0]
    return node


def text(node: ElementTree.Element, *path: str) -> str | None:
    """Return the text at that path of names, nothing where it is absent or blank."""
    found = find(node, *path)
    return (found.text or "").strip() or None if found is not None else None


def user_parameter(root: ElementTree.Element, name: str) -> str | None:
    """Return a text among the parameters of vendors, nothing where it is absent or blank."""
    section = find(root, "userParameters")
    nodes = children(section, "userParameterString") if section is not None else []
    return next((text(node, "value") for node in nodes if text(node, "name") == name), None)


def to_number(value: str | None) -> float | None:
    """Parse a finite number; None if the text is none."""
    try:
        found = float(value) if value else math.nan
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def to_integer(value: str | None) -> int | None:
    """Parse a whole number; None if the text is none."""
    found = to_number(value)
    return int(found) if found is not None and found == int(found) else None


def of_contrast(times: Sequence[Time], contrast: int) -> Time | None:
    """Return a contrast's own of several times, such as TE; a single one is that of all contrasts.

    GE's converter lists no more than two echo times, however many echoes there are.
    """
    if len(times) == 1:
        return times[0]
    return times[contrast] if contrast < len(times) else None

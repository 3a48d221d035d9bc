"""Restriction of XML headers to the elements of the ISMRMRD schema, as Gadgetron does."""

from __future__ import annotations

import dataclasses
import re
import typing
import warnings
import xml.etree.ElementTree as ElementTree
from functools import cache

import ismrmrd.xsd
from xsdata.exceptions import ConverterWarning
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler

from gadget.errors import DataError, first_line
from gadget.mrd.xml_header.elements import header_root, local_name
from gadget.mrd.xml_header.safe_xml import to_utf8

NAMESPACE = "http://www.ismrm.org/ISMRMRD"

# They quote what they are about, such as the patient's date of birth.
warnings.simplefilter("ignore", ConverterWarning)


def sanitize_header(xml: bytes) -> bytes:
    """Drop the elements that the schema of ISMRMRD does not know.

    gadgetron-python ends at the first unknown element, without a word to the user. A header that it
    reads is returned as it came, byte for byte.

    Raises
    ------
    DataError
        The text is not an ISMRMRD header, or it lacks something that the schema demands.
    """
    raw = to_utf8(xml.strip(b"\0 \t\r\n"))
    root = header_root(raw)
    if _remove_unknown(root, ismrmrd.xsd.ismrmrdHeader):
        # ElementTree would call the namespace ns0 otherwise.
        ElementTree.register_namespace("", NAMESPACE)
        raw = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    try:
        # As `CreateFromDocument`, which feeds the text to expat in pieces: expat before 2.6 reads a
        # long comment or attribute anew with every piece.
        XmlParser(handler=XmlEventHandler).parse(root, ismrmrd.xsd.ismrmrdHeader)
    except Exception as error:
        raise DataError(
            f"The ISMRMRD header does not follow the schema: {_reason(error)}. "
            "Gadgetron cannot read it; complete the header."
        ) from error
    return raw


def _remove_unknown(node: ElementTree.Element, schema_class: type) -> bool:
    """Remove elements that a schema class lacks; return whether anything had to change."""
    home = _namespace(node)
    changed = home != NAMESPACE
    node.tag = f"{{{NAMESPACE}}}{local_name(node)}"
    known = _elements(schema_class)
    for child in list(node):
        name = local_name(child)
        if name not in known or _namespace(child) not in (home, "", NAMESPACE):
            node.remove(child)
            changed = True
            continue
        inner = known[name]
        if inner is not None:
            changed |= _remove_unknown(child, inner)
        elif child.tag != f"{{{NAMESPACE}}}{name}" or len(child):
            child.tag = f"{{{NAMESPACE}}}{name}"
            for grandchild in list(child):
                child.remove(grandchild)
            changed = True
    return changed


def _namespace(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[0].lstrip("{") if isinstance(node.tag, str) else ""


@cache
def _elements(kind: type) -> dict[str, type | None]:
    """Child elements of a generated class by name, each with its own class, if any."""
    hints = typing.get_type_hints(kind)
    return {
        str(item.metadata.get("name", item.name)): _inner_class(hints[item.name])
        for item in dataclasses.fields(kind)
    }


def _inner_class(hint: object) -> type | None:
    candidates = [hint, *typing.get_args(hint)]
    for candidate in candidates:
        if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
            # xsdata's dates and times are written as text.
            return candidate if candidate.__module__.startswith("ismrmrd") else None
    return None


def _reason(error: Exception) -> str:
    lacking = re.match(r"(\w+?)(?:Type)?\.__init__\(\) missing .*?: (.*)", str(error))
    if lacking:
        return f"<{lacking[1]}> lacks {lacking[2]}"
    return re.sub(r"\s+", " ", first_line(error))

"""Parsing and serialization of the `<configuration>` element of a node, as Gadgetron does it."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from gadget.errors import ConfigError
from gadget.mrd.xml_header.safe_xml import parse_safe_xml

EMPTY = b'<?xml version="1.0"?>\n'
"""What Gadgetron sends to a node without `<configuration>`."""
_QUOTE = '"'


def parse_xml(text: bytes, name: str) -> ElementTree.Element:
    """Return the root element; `name` says in messages what the text is.

    Raises
    ------
    ConfigError
        The text is not plain XML.
    """
    try:
        return parse_safe_xml(text)
    except ValueError as error:
        raise ConfigError(f"{name} {error}.") from error


def parse_properties(text: bytes) -> dict[str, str]:
    """Return names and values of the properties of a `<configuration>`.

    Both spellings in use are read: `<property name="n" value="v"/>` and
    `<property><name>n</name><value>v</value></property>`.

    Raises
    ------
    ConfigError
        The text holds anything else.
    """
    if not text.strip(b" \t\r\n\0") or text.strip() == EMPTY.strip():
        return {}
    root = parse_xml(text, "The <configuration> of this node")
    if root.tag != "configuration":
        raise ConfigError(
            f"Expected the element <configuration> with properties, got <{root.tag}>."
        )
    if root.find("stream") is not None:
        raise ConfigError(
            "A whole pipeline came as the <configuration> of one node: send it to a Gadgetron or "
            "to `score-gadget serve`."
        )
    properties: dict[str, str] = {}
    for element in root:
        name, value = _parse_property(element)
        if name in properties:
            raise ConfigError(
                f"Property '{name}' is given twice in <configuration>: leave one of them out."
            )
        properties[name] = value
    return properties


def _parse_property(element: ElementTree.Element) -> tuple[str, str]:
    if element.tag != "property":
        raise ConfigError(
            f"Expected only <property> elements in <configuration>, got <{element.tag}>."
        )
    short = element.get("name"), element.get("value")
    long = element.findtext("name"), element.findtext("value")
    for name, value in (short, long):
        if name and value is not None and not (any(short) and any(long)):
            return name.strip(), value.strip()
    written = ElementTree.tostring(element, encoding="unicode").strip()
    raise ConfigError(
        f'Expected <property name="..." value="..."/>, got {written} in <configuration>.'
    )


def serialize(element: ElementTree.Element | None) -> bytes:
    """Return the text that Gadgetron sends for a `<configuration>` element.

    The same bytes (layout of pugixml with tabs, without comments), so that a node cannot tell the
    embedded host from a Gadgetron server.
    """
    return EMPTY if element is None else EMPTY + _serialize(element, "").encode()


def _serialize(element: ElementTree.Element, indent: str) -> str:
    attributes = "".join(
        f' {name}="{escape(value, {_QUOTE: "&quot;"})}"' for name, value in element.items()
    )
    start = f"{indent}<{element.tag}{attributes}"
    text = escape((element.text or "").strip())
    children = "".join(_serialize(child, indent + "\t") for child in element)
    if children:
        return f"{start}>\n{children}{indent}</{element.tag}>\n"
    return f"{start}>{text}</{element.tag}>\n" if text else f"{start} />\n"

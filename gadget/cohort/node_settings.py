"""Check and override the settings of this package's nodes in a pipeline, before it runs.

Nodes of other packages are not touched: their settings are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from pydantic import BaseModel

from gadget.errors import ConfigError, hint
from gadget.stream.configuration import parse_xml, serialize
from gadget.stream.host.pipeline import SERVED, is_own_module
from gadget.stream.node import find_node
from gadget.stream.settings import read_settings


@dataclass(frozen=True)
class _Node:
    """A node of this package, or a server that may be one."""

    name: str
    external: Element
    model: type[BaseModel]
    own: bool = True

    def has_setting(self, setting: str) -> bool:
        return setting in self.model.model_fields

    def settings(self, pipeline: str) -> BaseModel:
        try:
            return read_settings(self.model, serialize(self.external.find("configuration")))
        except ConfigError as error:
            raise ConfigError(f"{pipeline}, node {self.name}: {error}") from None


def override(text: bytes, values: Mapping[str, str], name: str) -> str:
    """Set these values in every node of a pipeline that has such a setting; return the pipeline.

    Parameters
    ----------
    text
        The pipeline, XML.
    values
        New values by the names of the settings.
    name
        What the pipeline is called in messages.

    Raises
    ------
    ConfigError
        The text is no XML, no node has such a setting, or a setting is wrong, overridden or not.
    """
    root = parse_xml(text, name)
    nodes = list(_nodes(root, name))
    for setting, value in values.items():
        concerned = [node for node in nodes if node.has_setting(setting)]
        if not concerned:
            known = {field for node in nodes for field in node.model.model_fields}
            raise ConfigError(f"{name} has no setting '{setting}': {hint(setting, known)}")
        for node in concerned:
            _set_property(node.external, setting, value)
    for node in nodes:
        if node.own or any(map(node.has_setting, values)):
            node.settings(name)
    return tostring(root, encoding="unicode")


def own_settings(pipeline: str) -> list[BaseModel]:
    """Return the settings of each node of this package, in the order of the pipeline."""
    name = "The pipeline"
    nodes = _nodes(parse_xml(pipeline.encode(), name), name)
    return [node.settings(name) for node in nodes if node.own]


def _nodes(root: Element, name: str) -> Iterator[_Node]:
    served = find_node(SERVED.module, SERVED.target).settings_model
    for external in root.iter("external"):
        execute, connect = external.find("execute"), external.find("connect")
        if connect is not None:
            yield _Node(f"at port {connect.get('port')}", external, served, own=False)
        elif execute is not None:
            module, target = ((execute.get(key) or "").strip() for key in ("name", "target"))
            if not is_own_module(module):
                continue
            try:
                node = find_node(module, target)
            except ConfigError:
                raise ConfigError(f"{name} names '{target}' of {module}: no such node.") from None
            yield _Node(target, external, node.settings_model)


def _set_property(external: Element, name: str, value: str) -> None:
    configuration = external.find("configuration")
    if configuration is None:
        configuration = SubElement(external, "configuration")
    for old in configuration.findall("property"):
        if (old.get("name") or old.findtext("name") or "").strip() == name:
            configuration.remove(old)
    SubElement(configuration, "property", name=name, value=value)

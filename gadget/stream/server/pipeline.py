"""Choice of the pipeline for a client of the server.

Input from the network can neither name a path nor foreign code: a name is looked up among the
installed pipelines, an XML text may only start nodes of this package, and no setting of either may
hold a path.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from xml.etree import ElementTree

from pydantic import BaseModel

from gadget.errors import ConfigError
from gadget.stream.configuration import parse_properties, serialize
from gadget.stream.host.pipeline import (
    SERVED,
    Connect,
    PipelineNode,
    installed_pipeline,
    parse_pipeline,
    read_pipeline,
)
from gadget.stream.node import find_node
from gadget.stream.settings import make_settings

MAX_CONFIG_CHARACTERS = 2**20
MAX_NAME_CHARACTERS = 200
BYTE_ORDER_MARK = "\ufeff"
REPLACEMENT_CHARACTER = "\ufffd"
"""Replacement character for bytes that are not UTF-8."""
MAX_NODES = 16
CONFIG_PARAMETERS = ("customconfig", "config")
"""Parameters by which OpenRecon names the pipeline; the first that is not empty counts."""

log = logging.getLogger(__name__)

_SAFE_VALUE = re.compile(r"(?!\.+$)[\w.:+-]*", re.ASCII)
"""No slash, and neither `.` nor `..`."""


def choose_pipeline(
    config: str, parameters: Mapping[str, str], default: Sequence[PipelineNode]
) -> list[PipelineNode]:
    """Return the nodes that a client requests, with its parameters in their configurations.

    Parameters
    ----------
    config
        Name of a pipeline, or its XML text.
    parameters
        Settings of the nodes, and perhaps the pipeline's name.
    default
        Nodes of the server, for a name that it does not know.

    Raises
    ------
    ConfigError
        The pipeline cannot be run here, or a parameter is wrong.
    """
    names = (parameters.get(name, "") for name in CONFIG_PARAMETERS)
    config = next(filter(None, names), config).lstrip(BYTE_ORDER_MARK)
    nodes = _parse_untrusted(config) if config.startswith("<") else _find(config, default)
    return _with_parameters(nodes, parameters)


def _find(name: str, default: Sequence[PipelineNode]) -> Sequence[PipelineNode]:
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable() or REPLACEMENT_CHARACTER in name:
        raise ConfigError(
            "A configuration must be the name of a pipeline or its XML text in UTF-8, got "
            f"{name[:MAX_NAME_CHARACTERS]!r}."
        )
    path = installed_pipeline(name)
    if path is None:
        # FIRE scanners send names such as "default" or "openrecon".
        log.info("The pipeline '%s' is not one of this server's, which takes its own.", name)
        return default
    try:
        return read_pipeline(path)
    except ConfigError as error:
        # Beside a Gadgetron there is a pipeline of the name "default": of C++ gadgets.
        log.warning("This server takes its own pipeline: %s", error)
        return default


def _parse_untrusted(text: str) -> list[PipelineNode]:
    """Parse the XML of a pipeline from the network."""
    if len(text) > MAX_CONFIG_CHARACTERS:
        raise ConfigError(
            f"The pipeline that was sent has {len(text)} characters, more than the "
            f"{MAX_CONFIG_CHARACTERS} that are allowed."
        )
    try:
        nodes = parse_pipeline(text.encode(errors="replace"), "The pipeline that was sent")
    except RecursionError:
        raise ConfigError("The pipeline that was sent has too deeply nested elements.") from None
    if len(nodes) > MAX_NODES:
        raise ConfigError(
            f"The pipeline that was sent has {len(nodes)} nodes, more than the {MAX_NODES} that "
            "are allowed."
        )
    for node in nodes:
        if isinstance(node, Connect) or _settings_model(node) is None:
            raise ConfigError(
                "The pipeline that was sent names something else than the nodes of gadget.nodes, "
                f"{_name(node)}. Have such a pipeline installed at the server, and send its name."
            )
        for name, value in parse_properties(node.configuration).items():
            _check_value(name, value)
    return nodes


def _with_parameters(
    nodes: Sequence[PipelineNode], parameters: Mapping[str, str]
) -> list[PipelineNode]:
    """Write each parameter into the configuration of the nodes that have a setting of that name."""
    known: set[str] = set()
    changed = []
    for node in nodes:
        model = _settings_model(node)
        names = {_normalized(name): name for name in model.model_fields} if model else {}
        own = {key: names[_normalized(key)] for key in parameters if _normalized(key) in names}
        known |= set(own)
        # A field of a console that was left empty is one that was not set.
        values = {own[key]: parameters[key] for key in own if parameters[key]}
        changed.append(_configured(node, model, values))
    for name in parameters.keys() - known - set(CONFIG_PARAMETERS):
        log.warning("The parameter '%s' is no setting of the pipeline: ignored.", name)
    return changed


def _configured(
    node: PipelineNode, model: type[BaseModel] | None, values: dict[str, str]
) -> PipelineNode:
    if model is None or not values:
        return node
    for name, value in values.items():
        _check_value(name, value)
    properties = {**parse_properties(node.configuration), **values}
    make_settings(model, properties)  # what is wrong is told before anything is started
    element = ElementTree.Element("configuration")
    for name, value in properties.items():
        ElementTree.SubElement(element, "property", name=name, value=value)
    return replace(node, configuration=serialize(element))


def _settings_model(node: PipelineNode) -> type[BaseModel] | None:
    """Return the settings class of a node, None if it is not one of this package."""
    if isinstance(node, Connect):
        node = SERVED
    if not node.own:
        return None
    try:
        found = find_node(node.module, node.target)
    except ConfigError:
        return None
    return found.settings_model


def _name(node: PipelineNode) -> str:
    return str(node.address) if isinstance(node, Connect) else f"{node.module}:{node.target}"


def _check_value(name: str, value: str) -> None:
    """Raise `ConfigError` for a value that could be a path."""
    if not _SAFE_VALUE.fullmatch(value):
        raise ConfigError(
            f"The property '{name}' has the value '{value}'. Over the network only letters, digits "
            "and _ . : + - are taken, and no paths."
        )


def _normalized(name: str) -> str:
    """Normalize `joint_every` and `jointEvery` to the same name; OpenRecon allows no underscore."""
    return name.replace("_", "").lower()

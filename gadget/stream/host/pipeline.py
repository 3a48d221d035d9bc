"""Parsing of pipeline files: Gadgetron's XML, as far as the embedded host can run it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from xml.etree.ElementTree import Element

import gadget
from gadget.errors import ConfigError, hint, reason
from gadget.stream.configuration import EMPTY, parse_xml, serialize
from gadget.stream.wire.address import Address

NEEDS_SERVER = (
    "That needs a Gadgetron server: load the pipeline there, or use one whose nodes are all "
    '<external> with <execute type="python"> or <connect>.'
)
DEFAULT_HOST = "localhost"
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_OWN_MODULE = re.compile(r"gadget\.nodes\.\w+")


@dataclass(frozen=True)
class Execute:
    """One node of a pipeline: a Python process that Gadgetron, or the embedded host, starts."""

    module: str
    target: str
    configuration: bytes
    """The `<configuration>` element as it is sent to the node."""

    @property
    def own(self) -> bool:
        """Whether the node is one of this package."""
        return is_own_module(self.module)


@dataclass(frozen=True)
class Connect:
    """One node of a pipeline: a server that runs already, such as `score-gadget node`."""

    address: Address
    configuration: bytes
    """The `<configuration>` element as it is sent to the node."""


PipelineNode: TypeAlias = Execute | Connect

SERVED = Execute("gadget.nodes.reconstruct", "reconstruct", EMPTY)
"""What `score-gadget node` serves to pipelines that connect to it."""


def is_own_module(name: str) -> bool:
    """Whether a module is one of this package's nodes, as far as its name tells."""
    return _OWN_MODULE.fullmatch(name) is not None


def find_pipeline(name: str) -> Path:
    """Return the file of a pipeline: a path, or the name of one that comes with this package.

    Raises
    ------
    ConfigError
        There is no such pipeline; says which there are.
    """
    path = Path(name)
    if path.is_file():
        return path
    installed = installed_pipeline(name)
    if installed is not None:
        return installed
    known = {file.name for folder in _folders() for file in folder.glob("*.xml")}
    raise ConfigError(f"There is no pipeline file {name}: {hint(name, known)}")


def installed_pipeline(name: str) -> Path | None:
    """Return the file of a pipeline that is installed under a name, which is no path."""
    if not _NAME.fullmatch(name):
        return None
    for folder in _folders():
        for candidate in (folder / name, folder / f"{name}.xml"):
            if candidate.is_file():
                return candidate
    return None


def _folders() -> list[Path]:
    """Return the folders of pipelines: of a source checkout and of an installation."""
    package = Path(gadget.__file__).parent
    # Above `lib/python3.x/site-packages`, which `sys.prefix` is not: for `pip install --user`, and
    # for the Python of Debian, pip puts both elsewhere.
    prefixes = package.parents[:4]
    return [
        package.parent / "pipelines",
        *(prefix / "share" / "gadgetron" / "config" for prefix in prefixes),
    ]


def read_pipeline(path: Path) -> list[PipelineNode]:
    """Return the nodes of a pipeline file, see `parse_pipeline`."""
    return parse_pipeline(pipeline_text(path), f"The pipeline {path}")


def pipeline_text(path: Path) -> bytes:
    """Return the text of a pipeline file; raise `ConfigError` if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The pipeline {path} cannot be read: {reason(error)}.") from error


def parse_pipeline(text: bytes, name: str = "The pipeline") -> list[PipelineNode]:
    """Return the nodes of a pipeline in their order.

    Raises
    ------
    ConfigError
        The embedded host cannot run it, or Gadgetron could not read it either.
    """
    root = parse_xml(text, name)
    if root.tag == "gadgetronStreamConfiguration":
        raise ConfigError(
            f"{name} is of Gadgetron's old format <gadgetronStreamConfiguration>. {NEEDS_SERVER}"
        )
    if root.tag != "configuration" or (root.findtext("version") or "").strip() != "2":
        raise ConfigError(
            f"{name} is no Gadgetron pipeline: expected <configuration> with "
            f"<version>2</version>, got <{root.tag}>."
        )
    stream = root.find("stream")
    if stream is None or len(stream) == 0:
        raise ConfigError(f"{name} has no nodes: expected <stream> with <external> in it.")
    return [_parse_node(node, name) for node in stream]


def _parse_node(node: Element, name: str) -> PipelineNode:
    if node.tag == "gadget":
        classname = (node.findtext("classname") or "?").strip()
        library = (node.findtext("dll") or "?").strip()
        raise ConfigError(f"{name} uses the C++ gadget {classname} of {library}. {NEEDS_SERVER}")
    if node.tag != "external":
        raise ConfigError(f"{name} uses <{node.tag}>. {NEEDS_SERVER}")
    connect, execute = node.find("connect"), node.find("execute")
    if connect is not None:
        return _parse_connect(connect, node.find("configuration"), name)
    if execute is None:
        raise ConfigError(
            f"{name} has an <external> without <execute> or <connect>: say what to start, or where "
            "it runs."
        )
    return _parse_execute(execute, node.find("configuration"), name)


def _parse_execute(execute: Element, configuration: Element | None, name: str) -> Execute:
    module, target = (execute.get("name") or "").strip(), (execute.get("target") or "").strip()
    kind = (execute.get("type") or "").lower()
    if kind != "python":
        raise ConfigError(
            f"{name} starts '{module}' of type '{kind}'; the embedded host starts 'python' only. "
            f"{NEEDS_SERVER}"
        )
    if not module or not target:
        raise ConfigError(
            f"{name} has an <execute> with name '{module}' and target '{target}': expected a "
            "Python module and what to call in it."
        )
    return Execute(module, target, serialize(configuration))


def _parse_connect(connect: Element, configuration: Element | None, name: str) -> Connect:
    host, port = connect.get("address") or DEFAULT_HOST, connect.get("port") or ""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ConfigError(
            f"{name} has a <connect> with port '{port}': expected a number from 1 to 65535."
        )
    return Connect(Address(host, int(port)), serialize(configuration))

"""The Markdown table of all settings of all nodes.

`python -m gadget.nodes.documentation pipelines/README.md` updates it in a document.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from gadget.stream.node import find_node

NODES = ("prewhiten", "gather", "reconstruct", "finish")
"""The nodes of this package, in the order of the data."""

HEAD = "| node | property | values | default | meaning |\n| --- | --- | --- | --- | --- |\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")
KINDS = {
    "boolean": "`true`, `false`",
    "integer": "whole number",
    "number": "number",
    "string": "text",
}
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def settings_of(node: str) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each setting of a node."""
    model = find_node(f"gadget.nodes.{node}", node).settings_model
    settings: dict[str, dict[str, Any]] = model.model_json_schema().get("properties", {})
    return settings


def settings_table() -> str:
    """Return a Markdown table of every setting of every node."""
    return HEAD + "".join(
        _row(f"`{node}`", f"`{name}`", schema)
        for node in NODES
        for name, schema in settings_of(node).items()
    )


def _row(node: str, name: str, schema: dict[str, Any]) -> str:
    default = _written(schema["default"])
    return f"| {node} | {name} | {_values(schema)} | {default} | {schema['description']} |\n"


def _written(value: object) -> str:
    """Write a default as a pipeline would."""
    if value is None:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _values(schema: dict[str, Any]) -> str:
    """Describe the values that a schema allows, null not included."""
    for choice in schema.get("anyOf", ()):
        if choice["type"] != "null":
            return _values(choice)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    bounds = [f"{sign} {schema[key]}" for key, sign in BOUNDS.items() if key in schema]
    return ", ".join([KINDS[schema["type"]], *bounds])


def rewrite(document: Path) -> None:
    """Replace the table in a Markdown document by the current one."""
    document.write_text(TABLE.sub(lambda _: settings_table(), document.read_text()))


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))

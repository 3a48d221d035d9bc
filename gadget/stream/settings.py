"""Settings of a node, read from its `<configuration>` in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gadget.errors import ConfigError, hint
from gadget.stream.configuration import parse_properties


class NodeSettings(BaseModel):
    """Base of all settings of nodes: a property that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(
    model: type[Settings], configuration: bytes, defaults: Mapping[str, str] = MappingProxyType({})
) -> Settings:
    """Return the settings that a `<configuration>` holds; what it does not name has `defaults`.

    Raises
    ------
    ConfigError
        A property is wrong: its name, its value and what was expected.
    """
    return make_settings(model, {**defaults, **parse_properties(configuration)})


def make_settings(model: type[Settings], values: dict[str, Any]) -> Settings:
    """Return the settings with these values; the others have their defaults.

    Raises
    ------
    ConfigError
        Settings are wrong: the name of each, its value and what was expected.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        sentences = [_sentence(model, details) for details in error.errors()]
        raise ConfigError(" ".join(sentences)) from None


def _sentence(model: type[BaseModel], details: ErrorDetails) -> str:
    name = str(details["loc"][0]) if details["loc"] else ""
    if details["type"] == "extra_forbidden":
        return f"Property '{name}' is not known: {hint(name, model.model_fields)}"
    message = details["msg"].removeprefix("Value error, ")
    if not name:
        return f"The settings do not fit together: {message}."
    if details["type"] == "missing":
        return f"Property '{name}' is missing: it has no default."
    expected = message.replace("Input should be", "must be", 1)
    if expected == message:
        expected = f"is wrong ({message})"
    return f"Property '{name}' {expected}, got '{details['input']}'."

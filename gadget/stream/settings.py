"""Settings of a node, read from its `<configuration>` in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gadget.errors import ConfigError, invalid_values
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
        raise ConfigError(invalid_values(error, model, "Property")) from None

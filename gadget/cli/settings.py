"""Settings of nodes on the command line: the option `--set NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence

from gadget.errors import ConfigError


def parse_settings(texts: Sequence[str] | None) -> dict[str, str]:
    """Return values by the names of the settings.

    Raises
    ------
    ConfigError
        A text is not a name and a value.
    """
    pairs = [text.partition("=") for text in texts or ()]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise ConfigError(
                f"--set needs a name and a value, such as method=sense; got '{name}{sign}{value}'."
            )
    return {name: value for name, _, value in pairs}

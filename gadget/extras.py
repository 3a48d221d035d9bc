"""Packages that this one can do without: the extras of its installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gadget.errors import ConfigError


@contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Say what to install when a package that is imported here is missing.

    Parameters
    ----------
    what
        Beginning of the sentence, verb and all: `PNG files need`.
    extra
        The extra that brings the package.

    Raises
    ------
    ConfigError
        The package is missing.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"{what} {error.name or error}: pip install 'score-gadget[{extra}]'."
        ) from error

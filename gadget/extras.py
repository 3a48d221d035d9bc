"""Optional dependencies: the extras of the installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gadget.errors import ConfigError


@contextmanager
def optional_import(what: str, extra: str) -> Iterator[None]:
    """Turn an `ImportError` in the block into a sentence that says what to install.

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

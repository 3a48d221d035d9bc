"""The errors that score-gadget raises.

Every message is a sentence: what was expected, what came, and what to do about it.

ReconError
├── ConfigError    a setting, a pipeline file, a command's argument; no such model or device
├── DataError      measured data or an XML header that cannot be reconstructed
├── StreamError    the other end of a socket broke the protocol, vanished or reported an error
├── WeightsError   a model folder that is damaged or of an unknown kind
├── DeviceMemoryError  a device is out of memory
└── DeadlineError  an image would be late
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails


class ReconError(Exception):
    """Base of all errors of this package."""


class ConfigError(ReconError):
    """A setting, a pipeline file or an argument is wrong, or names what is not there."""


class DataError(ReconError):
    """The measured data or their header cannot be reconstructed."""


class StreamError(ReconError):
    """The other end of a connection broke the protocol, vanished or reported an error."""


class WeightsError(ReconError):
    """A model folder is damaged or of an unknown kind."""


class DeviceMemoryError(ReconError):
    """A compute device is out of memory."""


class DeadlineError(ReconError):
    """An image would come later than the settings allow."""


class FirstError:
    """Keeps the first error of several parts, none of which must cost another."""

    def __init__(self, kind: type[ReconError] = DataError) -> None:
        self._kind = kind
        self._error: ReconError | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error of this kind that a part raises."""
        try:
            yield
        except self._kind as error:
            self.keep(error)

    def keep(self, error: ReconError) -> None:
        """Keep an error, if it is the first."""
        self._error = self._error or error

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._error is not None:
            raise self._error


OF_THE_WHOLE_SCAN = (ConfigError, WeightsError, StreamError)
"""Errors that no other method mends, and that every buffer of a scan would have."""


def reason(error: Exception) -> str:
    """Return the message of another library's error as part of a sentence, without errno."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else first_line(error)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without full stop; its type without any."""
    return str(error).strip().partition("\n")[0].rstrip(". ") or type(error).__name__


def sentence(error: Exception) -> str:
    """Return an error that nothing could be done about as a sentence for the user."""
    if isinstance(error, ReconError):
        return str(error)
    if isinstance(error, OSError):
        file = f"'{error.filename}'" if error.filename else "A file"
        return f"{file} could not be read or written: {reason(error)}."
    return (
        f"{type(error).__name__}: {first_line(error)}. That is an error of score-gadget itself; "
        "run it again with -v before the command to see where it happened."
    )


def hint(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the closest known one, or all of them."""
    import difflib  # not at the top, for nodes to start fast

    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known are {', '.join(names) or 'none'}."


def invalid_values(error: ValidationError, model: type[BaseModel], noun: str) -> str:
    """Return a sentence for each invalid value of a pydantic model.

    Parameters
    ----------
    error
        The error of the validation.
    model
        The model, whose fields are known.
    noun
        What a field is called where the values come from: `Property`, `Key`.
    """
    return " ".join(_invalid_value(details, model, noun) for details in error.errors())


def _invalid_value(details: ErrorDetails, model: type[BaseModel], noun: str) -> str:
    name = ".".join(map(str, details["loc"]))
    if details["type"] == "extra_forbidden":
        nested = len(details["loc"]) > 1
        known = "leave it out." if nested else hint(name, model.model_fields)
        return f"{noun} '{name}' is not known: {known}"
    message = details["msg"].removeprefix("Value error, ")
    if not name:
        together = details["type"] == "value_error"
        return f"The settings do not fit together: {message}." if together else f"{message}."
    if details["type"] == "missing":
        return f"{noun} '{name}' is missing: it has no default."
    expected = message.replace("Input should be", "must be", 1)
    if expected == message:
        expected = f"is wrong ({message})"
    return f"{noun} '{name}' {expected}, got {details['input']!r}."

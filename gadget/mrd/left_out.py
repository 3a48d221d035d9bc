"""What is left out of the images of a scan."""

from __future__ import annotations

from collections.abc import Callable

from gadget.errors import DataError
from gadget.mrd.acquisition import Key
from gadget.text import pluralize


class LeftOut:
    """Readouts that do not belong, and images of which no line could be used.

    Parameters
    ----------
    warn
        Called with why the first readout is left out.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._reason: str | None = None
        self._readouts = 0
        self.images: set[Key] = set()
        """Images that only unusable lines came for so far."""

    def add_readout(self, error: DataError) -> None:
        """Leave out a readout."""
        if self._reason is None:
            self._reason = str(error)
            self._warn(f"{error} It is left out.")
        self._readouts += 1

    def check(self) -> None:
        """Raise `DataError` if anything is left out."""
        reasons = []
        if self._reason is not None:
            reasons.append(self._reason)
            if self._readouts > 1:
                reasons.append(f"{pluralize(self._readouts - 1, 'more readout')} left out.")
        if self.images:
            lost = "; ".join(key.name for key in sorted(self.images))
            reasons.append(
                f"No usable readout came for the image with {lost}: all its samples are NaN or "
                "infinite, so there is no image of it."
            )
        if reasons:
            raise DataError(" ".join(reasons))

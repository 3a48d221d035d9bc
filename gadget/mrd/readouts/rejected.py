"""Readouts that are rejected, and images that are lost by it."""

from __future__ import annotations

from collections.abc import Callable

from gadget.errors import DataError
from gadget.mrd.readouts.image_key import ImageKey
from gadget.text import pluralize


class RejectedReadouts:
    """Rejected readouts of a scan, and images without any usable line.

    Parameters
    ----------
    warn
        Called with the reason of the first rejection.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._reason: str | None = None
        self._readouts = 0
        self.lost_images: set[ImageKey] = set()
        """Images with none but unusable lines so far."""

    def add(self, error: DataError) -> None:
        """Note a rejected readout."""
        if self._reason is None:
            self._reason = str(error)
            self._warn(f"{error} It is left out.")
        self._readouts += 1

    def check(self) -> None:
        """Raise `DataError` if readouts were rejected or images are lost."""
        reasons = []
        if self._reason is not None:
            reasons.append(self._reason)
            if self._readouts > 1:
                reasons.append(f"{pluralize(self._readouts - 1, 'more readout')} left out.")
        if self.lost_images:
            lost = "; ".join(key.name for key in sorted(self.lost_images))
            reasons.append(
                f"No usable readout came for the image with {lost}: all its samples are NaN or "
                "infinite, so there is no image of it."
            )
        if reasons:
            raise DataError(" ".join(reasons))

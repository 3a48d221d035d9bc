"""Number of coils of an image, where a few readouts differ."""

from __future__ import annotations

from collections import Counter


class CoilCount:
    """Majority vote on the number of coils.

    Parameters
    ----------
    declared
        Number of coils in the header of the scan, which may be of before they were combined: it
        only counts where two numbers are as frequent.
    """

    def __init__(self, declared: int | None) -> None:
        self._declared = declared
        self._readouts: Counter[int] = Counter()
        self.number = 0

    def add(self, coils: int) -> bool:
        """Count a readout; return whether the majority has changed to its number of coils."""
        self._readouts[coils] += 1
        more = self._readouts[coils] - self._readouts[self.number]
        # The declared number wins a tie, and any number against readouts without coils.
        loses_tie = self.number != 0 and coils != self._declared
        if more < 0 or (more == 0 and loses_tie) or coils == self.number:
            return False
        self.number = coils
        return True

"""How many coils the readouts of a scan have, where a few have others."""

from __future__ import annotations

from collections import Counter


class UsualCoils:
    """The number of coils that most readouts have.

    Parameters
    ----------
    announced
        Number of coils in the header of the scan, which may be of before they were combined: it
        only counts where two numbers are as frequent.
    """

    def __init__(self, announced: int | None) -> None:
        self._announced = announced
        self._readouts: Counter[int] = Counter()
        self.number = 0
        self.settled = False
        """Whether the number stays: once an image is made, it says how many coils there are."""

    def add(self, coils: int) -> bool:
        """Count a readout; tell whether its number of coils has become the usual one."""
        if self.settled:
            return False
        self._readouts[coils] += 1
        more = self._readouts[coils] - self._readouts[self.number]
        if more < 0 or (more == 0 and coils != self._announced) or coils == self.number:
            return False
        self.number = coils
        return True

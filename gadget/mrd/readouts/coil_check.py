"""Number of coils of the readouts: those of an image must be alike."""

from __future__ import annotations

from collections import Counter, defaultdict

import ismrmrd

from gadget.errors import DataError
from gadget.mrd.readouts.image_key import ImageKey

ONE_NUMBER = "All readouts of an image must have the same coils."


class CoilCheck:
    """Takes a vote of each image's readouts on their number of coils.

    Parameters
    ----------
    declared
        Number of coils in the header of the scan, which may be of before they were combined: it
        only counts where two numbers are as frequent.
    """

    def __init__(self, declared: int | None) -> None:
        self._declared = declared
        self._votes: dict[ImageKey, _Vote] = {}
        self._of_encoding: defaultdict[int, Counter[int]] = defaultdict(Counter)

    def add(self, key: ImageKey, coils: int, readouts: int = 1) -> str | None:
        """Count readouts; return why those before do not belong, if they have lost the vote."""
        self._of_encoding[key.encoding][coils] += readouts
        vote = self._votes.get(key)
        if vote is None:
            vote = self._votes[key] = _Vote(self._declared)
        before = vote.winner
        if not vote.add(coils, readouts):
            return None
        return (
            f"A readout at the beginning has {before} coils, but most have {vote.winner}. "
            + ONE_NUMBER
        )

    def check(self, key: ImageKey, header: ismrmrd.AcquisitionHeader) -> None:
        """Raise `DataError` if a readout has other coils than most of its image."""
        usual = self._votes[key].winner
        if header.active_channels != usual:
            raise DataError(
                f"Readout {header.scan_counter} has {header.active_channels} coils, but the ones "
                f"before had {usual}. {ONE_NUMBER}"
            )

    def is_unusual(self, key: ImageKey, coils: int) -> bool:
        """Whether less than half of the readouts of an encoding have that number of coils."""
        counts = self._of_encoding[key.encoding]
        return 2 * counts[coils] < counts.total()

    def forget(self, key: ImageKey) -> None:
        """Forget the votes on an image that is complete."""
        self._votes.pop(key, None)


class _Vote:
    def __init__(self, declared: int | None) -> None:
        self._declared = declared
        self._readouts: Counter[int] = Counter()
        self.winner = 0

    def add(self, coils: int, readouts: int) -> bool:
        """Count readouts; return whether their number of coils has become the winner."""
        self._readouts[coils] += readouts
        more = self._readouts[coils] - self._readouts[self.winner]
        # The declared number wins a tie.
        loses_tie = self.winner != 0 and coils != self._declared
        if more < 0 or (more == 0 and loses_tie) or coils == self.winner:
            return False
        self.winner = coils
        return True

"""Does every image that the data hold come out?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import ismrmrd

from gadget.errors import DataError
from gadget.mrd import flags
from gadget.mrd.acquisition import Key, key_of
from gadget.mrd.meta import is_deviation
from gadget.mrd.raw.raw_file import ACQUISITION_ID
from gadget.mrd.recon_data import HEADER_DTYPE
from gadget.text import pluralize


class Tally:
    """Counts what goes into a pipeline and what comes out of it."""

    def __init__(self) -> None:
        self.readouts = 0
        self.images = 0
        """Images received, but for standard deviations."""
        self.deviations = 0
        self._expected: set[Key] = set()
        self._received: dict[int, set[tuple[int, ...]]] = {}

    @property
    def expected(self) -> int:
        """Images that the readouts so far belong to."""
        return len(self._expected)

    @property
    def summary(self) -> str:
        """What was received, in words."""
        images = pluralize(self.images, "image")
        if not self.deviations:
            return images
        return f"{images} and {pluralize(self.deviations, 'standard deviation')}"

    def watch(self, messages: Iterable[bytes]) -> Iterator[bytes]:
        """Yield messages and count the readouts among them."""
        for message in messages:
            if message.startswith(ACQUISITION_ID):
                self._send(message)
            yield message

    def receive(self, image: ismrmrd.Image) -> None:
        """Count an image."""
        if is_deviation(image.meta):
            self.deviations += 1
            return
        self.images += 1
        head = image.getHead()
        self._received.setdefault(int(head.image_series_index), set()).add(_counters(head))

    def check(self) -> None:
        """Raise `DataError` if images are missing."""
        if not self.images and not self.expected:
            raise DataError(
                f"The data hold no image line ({self.readouts} readouts of other kinds), so there "
                "is nothing to reconstruct. Is this a noise or adjustment scan?"
            )
        lost = self._lost()
        if self.images >= self.expected and not lost:
            return
        names = f" Missing: {'; '.join(key.name for key in lost[:5])}" if lost else ""
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        found = min(self.images, self.expected - len(lost))
        raise DataError(
            f"Only {found} of {self.expected} images came out of the pipeline; its log says why."
            f"{names}{more}."
        )

    def _lost(self) -> list[Key]:
        """Return which images a series lacks, as far as their counters tell."""
        wanted = sorted(self._expected)
        received = set().union(*self._received.values())
        own_way = len(received) == 1 or not received <= set(map(_counters, wanted))
        if own_way and self.images >= self.expected:
            return []  # a server that counts in its own way, or not at all
        complete = [received]
        # Each encoding has series of its own.
        if len({key.encoding for key in wanted}) == 1:
            # Maps are made of several images: only what holds most of them should hold all.
            complete += [one for one in self._received.values() if 2 * len(one) > len(wanted)]
        return [key for key in wanted if not all(_counters(key) in one for one in complete)]

    def _send(self, message: bytes) -> None:
        header = ismrmrd.AcquisitionHeader.from_buffer_copy(message[2 : 2 + HEADER_DTYPE.itemsize])
        self.readouts += 1
        if header.flags & flags.NOT_IMAGE or flags.calibration_only(header.flags):
            return
        self._expected.add(key_of(header))


def _counters(source: Key | ismrmrd.ImageHeader) -> tuple[int, ...]:
    names = ("slice", "contrast", "phase", "set", "repetition")
    return tuple(int(getattr(source, name)) for name in names)

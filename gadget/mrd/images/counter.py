"""Check that every image that the readouts belong to comes out of a pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import ismrmrd

from gadget.errors import DataError
from gadget.mrd.images.meta import is_std_map
from gadget.mrd.raw.raw_file import ACQUISITION_ID
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.mrd.readouts.image_key import ImageCounters, ImageKey
from gadget.mrd.readouts.image_lines import ImageLines
from gadget.text import pluralize


class ImageCounter:
    """Counts the readouts that go into a pipeline and the images that come out of it."""

    def __init__(self) -> None:
        self.readouts = 0
        self.images = 0
        """Images received, without standard deviation maps."""
        self.std_maps = 0
        self._image_lines = ImageLines()
        self._expected: set[ImageKey] = set()
        """Images that the readouts so far belong to."""
        self._received: dict[int, set[ImageCounters]] = {}

    @property
    def expected(self) -> int:
        """Number of images that the readouts so far belong to."""
        return len(self._expected)

    @property
    def summary(self) -> str:
        """Number of images and maps received, as text."""
        images = pluralize(self.images, "image")
        if not self.std_maps:
            return images
        return f"{images} and {pluralize(self.std_maps, 'standard deviation')}"

    def count_readouts(self, messages: Iterable[bytes]) -> Iterator[bytes]:
        """Pass messages on, counting the readouts among them."""
        for message in messages:
            if message.startswith(ACQUISITION_ID):
                self._count_readout(message)
            yield message

    def add_image(self, image: ismrmrd.Image) -> None:
        """Count an image."""
        if is_std_map(image.meta):
            self.std_maps += 1
            return
        self.images += 1
        head = image.getHead()
        self._received.setdefault(int(head.image_series_index), set()).add(ImageCounters.of(head))

    def check(self) -> None:
        """Raise `DataError` if images are missing."""
        if not self.images and not self.expected:
            raise DataError(
                f"The data hold no image line ({self.readouts} readouts of other kinds), so there "
                "is nothing to reconstruct. Is this a noise or adjustment scan?"
            )
        missing = self._missing()
        if self.images >= self.expected and not missing:
            return
        names = f" Missing: {'; '.join(key.name for key in missing[:5])}" if missing else ""
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        found = min(self.images, self.expected - len(missing))
        raise DataError(
            f"Only {found} of {self.expected} images came out of the pipeline; its log says why."
            f"{names}{more}."
        )

    def _missing(self) -> list[ImageKey]:
        """Return the images that a series lacks, by their slice, contrast, ... counters."""
        expected = sorted(self._expected)
        received = set().union(*self._received.values())
        other_counters = len(received) == 1 or not received <= set(map(ImageCounters.of, expected))
        if other_counters and self.images >= self.expected:
            return []  # a server that counts in its own way, or not at all
        complete = [received]
        # Each encoding has series of its own.
        if len({key.encoding for key in expected}) == 1:
            # Maps are made of several images: only what holds most of them should hold all.
            complete += [one for one in self._received.values() if 2 * len(one) > len(expected)]
        return [
            key for key in expected if not all(ImageCounters.of(key) in one for one in complete)
        ]

    def _count_readout(self, message: bytes) -> None:
        header = ismrmrd.AcquisitionHeader.from_buffer_copy(message[2 : 2 + HEADER_DTYPE.itemsize])
        self.readouts += 1
        if self._image_lines.note(header.flags):
            self._expected.clear()
        if self._image_lines.is_image_data(header.flags) and not flags.calibration_only(
            header.flags
        ):
            self._expected.add(ImageKey.of(header))

"""Which incomplete images are complete, by their flags or by what follows."""

from __future__ import annotations

from collections.abc import Mapping

import ismrmrd

from gadget.mrd.buffers.image_accumulator import ImageAccumulator
from gadget.mrd.readouts.image_key import ImageKey


class Completion:
    """Tells complete images among those that are incomplete so far.

    Scanners repeat the LAST_IN_* flags for every average, segment and partition: before the last
    average or segment that the header declares neither flag nor repetition counts, and where the
    flag is not known to be that of the last average, partition or line, it counts as soon as the
    first readout of another image follows. Where a measurement ended before that average or
    segment, later repetitions do not wait for it. Repetitions interleaved line by line are complete
    at the end of the stream.

    Parameters
    ----------
    images
        The incomplete images, of which some will be completed and others will begin.
    """

    def __init__(self, images: Mapping[ImageKey, ImageAccumulator]) -> None:
        self._images = images
        self._superseded: set[ImageKey] = set()
        """Images that a later repetition has shown to be complete."""
        self._interleaved: set[int] = set()
        """Encodings with interleaved repetitions: none is complete when another begins."""
        self._overstated: set[int] = set()
        """Encodings of which the header declares more averages or segments than come."""

    def at_first_readout(self, key: ImageKey) -> list[ImageKey]:
        """Return the images that the first readout of another one shows to be complete."""
        if key in self._superseded:
            self._interleaved.add(key.encoding)
        complete = [other for other, image in self._images.items() if image.flagged]
        if key.encoding not in self._interleaved:
            before = [other for other in self._images if self._supersedes(key, other)]
            self._superseded.update(before)
            complete += before
        return complete

    def at_flag(self, key: ImageKey, header: ismrmrd.AcquisitionHeader) -> bool:
        """Return whether a readout with a LAST_IN_* flag completes its image at once."""
        image = self._images[key]
        complete = image.is_completed_by(header)
        if complete and image.expects_more:  # a measurement ended, as Siemens' repetitions do
            self._overstated.add(key.encoding)
        return complete

    def _supersedes(self, key: ImageKey, other: ImageKey) -> bool:
        image = self._images[other]
        return (
            other[:-1] == key[:-1]
            and other.repetition < key.repetition
            and image.image_lines > 1
            and not image.flagged
            and not (image.expects_more and key.encoding not in self._overstated)
        )

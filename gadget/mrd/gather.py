"""Acquisitions to k-space buffers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError, ReconError
from gadget.mrd import flags
from gadget.mrd.acquisition import Key, header_of, key_of
from gadget.mrd.buffer import Buffer, make_buffer
from gadget.mrd.calibration_lines import CalibrationLines
from gadget.mrd.grid import LineGrid, add_readout
from gadget.mrd.header import Encoding, Header
from gadget.mrd.left_out import LeftOut
from gadget.mrd.open_image import OpenImage
from gadget.mrd.placement import line_position
from gadget.mrd.recon_data import AcquisitionBucket
from gadget.mrd.usual_coils import UsualCoils

log = logging.getLogger(__name__)


class Gatherer:
    """Collects readouts until the k-space of an image is complete.

    A buffer is complete at its LAST_IN_SLICE, LAST_IN_REPETITION or LAST_IN_MEASUREMENT flag, when
    a later repetition of the same image begins, or when the stream ends. Scanners repeat the flag
    for every average, segment and partition: before the last segment that the header declares it
    does not count, and where it is not known to be that of the last average or partition, it counts
    as soon as the first readout of another image follows. Repetitions that take turns, line by
    line, are complete at the end of the stream.

    Parameters
    ----------
    header
        Header of the scan.
    warn
        Called with every warning; by default it is logged.
    name_unreadable
        Whether to warn of each readout with samples that are not finite.
    calibration
        Calibration lines from before, to which those that come are added.
    """

    def __init__(
        self,
        header: Header,
        warn: Callable[[str], None] = log.warning,
        *,
        name_unreadable: bool = True,
        calibration: CalibrationLines | None = None,
    ) -> None:
        self._header = header
        self._warn = warn
        self._name_unreadable = name_unreadable
        self._open: dict[Key, OpenImage] = {}
        self._ready: list[Buffer] = []
        self._calibration = calibration or CalibrationLines(warn)
        self._left_out = LeftOut(warn)
        self._coils: dict[int, UsualCoils] = {}
        self._overtaken: set[Key] = set()
        self._in_turns: set[int] = set()
        """Encodings whose repetitions take turns: none is complete when another begins."""
        self._above = False
        self._seen = 0
        self._completed: set[Key] = set()

    def gather(self, acquisitions: Iterable[ismrmrd.Acquisition]) -> Iterator[Buffer]:
        """Yield the buffers of a scan, each as soon as it is complete.

        Raises
        ------
        ReconError
            As `finish`, or what `acquisitions` raises; after the buffers of all that arrived.
        """
        try:
            for acquisition in acquisitions:
                yield from self.add(acquisition)
        except ReconError:
            yield from self.rescue()
            raise
        yield from self.finish()

    def add(self, acquisition: ismrmrd.Acquisition) -> list[Buffer]:
        """Add a readout and return the buffers that it completes.

        A readout that lies outside the matrix, has another number of coils than those before, holds
        no sample, or belongs to an encoding that cannot be reconstructed is left out: `finish`
        raises an error, after the images of all the others.
        """
        header = header_of(acquisition)
        bits = header.flags
        if bits & flags.NOT_IMAGE:
            return []
        key = key_of(header)
        if key not in self._open:
            # Before the readout is added: it may be a calibration line that replaces theirs.
            self._overtake(key)
        image = self._place_or_leave_out(acquisition, key)
        if image is not None:
            image.flagged = False
            if bits & flags.LAST_IN_BUFFER and image.ends_with(header):
                self._complete([key])
        return self._take_ready()

    def rescue(self) -> Iterator[Buffer]:
        """Yield what has arrived before the stream broke off, one buffer at a time."""
        for key in list(self._open):
            self._complete([key])
            yield from self._take_ready()

    def collect(self, acquisition: ismrmrd.Acquisition) -> None:
        """Add a readout that completes nothing, whatever its flags say; otherwise as `add`."""
        if not acquisition.flags & flags.NOT_IMAGE:
            self._place_or_leave_out(acquisition, key_of(header_of(acquisition)))

    def drain(self) -> Iterator[Buffer]:
        """Yield what is left, one buffer at a time.

        Raises
        ------
        DataError
            Readouts were left out, or an image had none but unusable lines.
        """
        yield from self.rescue()
        self._left_out.check()

    def finish(self) -> Iterator[Buffer]:
        """Yield what is left at the end of a scan, one buffer at a time.

        Raises
        ------
        DataError
            As `drain`, or not one image line came.
        """
        yield from self.drain()
        if not self._completed:
            raise DataError(
                f"No image readout came ({self._seen} calibration readouts did), so there is "
                "nothing to reconstruct. Is this a noise or adjustment scan, or were images sent?"
            )

    def _overtake(self, key: Key) -> None:
        """Complete what is complete because the first readout of `key` has come."""
        if key in self._overtaken:
            self._in_turns.add(key.encoding)
        flagged = [other for other, image in self._open.items() if image.flagged]
        before = [
            other
            for other, image in self._open.items()
            if other[:-1] == key[:-1]
            and other.repetition < key.repetition
            and image.image_lines > 1
            and not image.flagged
        ]
        self._complete(flagged)
        if key.encoding not in self._in_turns:
            self._overtaken.update(before)
            self._complete(before)

    def _place_or_leave_out(self, acquisition: ismrmrd.Acquisition, key: Key) -> OpenImage | None:
        """Add a readout, or note why it cannot be added; return the image that it is of."""
        try:
            return self._place(acquisition, key)
        except DataError as error:
            self._left_out.add_readout(error)
            return None

    def _place(self, acquisition: ismrmrd.Acquisition, key: Key) -> OpenImage | None:
        """Add a readout to the grid it belongs to; return the image if it is one's."""
        encoding = self._header.encoding(key.encoding)
        header = header_of(acquisition)
        self._seen += 1
        _check_samples(header)
        apart = flags.calibration_only(header.flags) and not encoding.merges_calibration
        if not apart:
            self._check_coils(key.encoding, header)
        position = line_position(encoding, header)
        if position is None:
            self._note_above()
            return self._open.get(key)
        if not _finite(acquisition.data):
            self._note_unreadable(header)
            if not apart and key not in self._open:
                self._left_out.images.add(key)
            return self._open.get(key)
        if apart:
            grid = self._calibration.grid(key, encoding, header, self._open)
            add_readout(grid, position, acquisition.data, header)
            return None
        image = self._image(key, encoding, header)
        image.add(position, acquisition.data, header)
        self._left_out.images.discard(key)
        return image

    def _note_above(self) -> None:
        if not self._above:
            self._warn("Lines above the spatial frequencies of the matrix are left out.")
        self._above = True

    def _note_unreadable(self, header: ismrmrd.AcquisitionHeader) -> None:
        if self._name_unreadable:
            self._warn(
                f"Readout {header.scan_counter} holds samples that are not finite; its line counts "
                "as not measured."
            )

    def _check_coils(self, encoding: int, header: ismrmrd.AcquisitionHeader) -> None:
        usual = self._coils.setdefault(encoding, UsualCoils(self._header.receiver_channels))
        before = usual.number
        if usual.add(header.active_channels) and before:
            self._leave_out_images(encoding, before, usual.number)
        if header.active_channels != usual.number:
            raise DataError(
                f"Readout {header.scan_counter} has {header.active_channels} coils, but the ones "
                f"before had {usual.number}. All readouts of a scan must have the same coils."
            )

    def _leave_out_images(self, encoding: int, coils: int, usual: int) -> None:
        """Leave out the readouts of all open images, as they have other coils than is usual."""
        for key in [key for key in self._open if key.encoding == encoding]:
            for _ in range(len(self._open.pop(key).grid)):
                self._left_out.add_readout(
                    DataError(
                        f"A readout at the beginning has {coils} coils, but most have {usual}. All "
                        "readouts of a scan must have the same coils."
                    )
                )

    def _image(self, key: Key, encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> OpenImage:
        image = self._open.get(key)
        if image is None:
            image = self._open[key] = OpenImage(LineGrid.of_readout(encoding, header))
        return image

    def _complete(self, keys: Iterable[Key]) -> None:
        for key in keys:
            image = self._open.pop(key)
            if key in self._completed:
                self._warn(
                    f"Readouts came after the image of {key.name} was flagged as complete: another "
                    "image is made of them."
                )
            if not image.image_lines:
                self._warn(f"No image line came with the calibration lines of {key.name}.")
                continue
            calibration = self._calibration.likest(key, image.grid)
            self._ready.append(make_buffer(image.grid, calibration))
            self._completed.add(key)
            self._coils[key.encoding].settled = True

    def _take_ready(self) -> list[Buffer]:
        ready, self._ready = self._ready, []
        return ready


def from_bucket(
    bucket: AcquisitionBucket, header: Header, calibration: CalibrationLines | None = None
) -> Iterator[Buffer]:
    """Yield the buffers of a bucket, which is complete in itself but for calibration lines.

    Parameters
    ----------
    bucket
        The message.
    header
        Header of the scan.
    calibration
        Calibration lines of the buckets before, to which those of this one are added.

    Raises
    ------
    DataError
        As `Gatherer.drain`.
    """
    gatherer = Gatherer(header, calibration=calibration)
    # A bucket lists calibration lines that are image lines too on both sides.
    lines = [one for one in bucket.calibration if flags.calibration_only(one.flags)]
    # The images come first: lines of one's own repetition are kept for each.
    for acquisition in [*bucket.data, *lines]:
        gatherer.collect(acquisition)
    yield from gatherer.drain()


def _check_samples(header: ismrmrd.AcquisitionHeader) -> None:
    if header.discard_pre + header.discard_post >= header.number_of_samples:
        raise DataError(
            f"Readout {header.scan_counter} holds no sample: {header.number_of_samples} were "
            f"taken, of which {header.discard_pre} at the beginning and {header.discard_post} at "
            "the end are to be discarded."
        )


def _finite(samples: NDArray[np.complex64]) -> bool:
    # A sum is the fastest look at all of them; that of damaged samples may overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduce(samples, axis=None)
    return bool(np.isfinite(total)) or bool(np.isfinite(samples).all())

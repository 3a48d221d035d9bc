"""Acquisitions to k-space buffers."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator

import ismrmrd

from gadget.errors import DataError, ReconError
from gadget.mrd.buffers.buffer import Buffer, make_buffer
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.complete_images import CompleteImages
from gadget.mrd.buffers.completion import Completion
from gadget.mrd.buffers.grid import LineGrid
from gadget.mrd.buffers.open_images import OpenImages
from gadget.mrd.readouts.acquisition import header_of
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.readouts.image_lines import ImageLines
from gadget.mrd.xml_header.header import Header

log = logging.getLogger(__name__)


class Gatherer:
    """Collects readouts until the k-space of an image is complete.

    A buffer is complete at its LAST_IN_SLICE, LAST_IN_REPETITION or LAST_IN_MEASUREMENT flag, when
    a later repetition of the same image begins, or when the stream ends; see `Completion`. The
    first images of a scan with interleaved calibration wait for the lines of those that follow.

    Parameters
    ----------
    header
        Header of the scan.
    warn
        Called with every warning; by default it is logged.
    warn_unusable
        Whether to warn of readouts with samples that are not finite, or all zero.
    calibration
        Calibration lines from before, to which those that come are added.
    """

    def __init__(
        self,
        header: Header,
        warn: Callable[[str], None] = log.warning,
        *,
        warn_unusable: bool = True,
        calibration: CalibrationLines | None = None,
    ) -> None:
        self._warn = warn
        self._warn_once = functools.cache(warn)
        self._warns_unusable = warn_unusable
        self._calibration = calibration or CalibrationLines(warn)
        self._open = OpenImages(header, warn, self._calibration, warn_unusable=warn_unusable)
        self._image_lines = ImageLines()
        self._completion = Completion(self._open)
        self._complete_images = CompleteImages(self._calibration)
        self._completed: set[ImageKey] = set()
        self._ready: list[Buffer] = []

    def gather(self, readouts: Iterable[ismrmrd.Acquisition | ReadoutBlock]) -> Iterator[Buffer]:
        """Yield the buffers of a scan, each as soon as it is complete.

        Raises
        ------
        ReconError
            As `finish`, or what `readouts` raises; after the buffers of all that arrived.
        """
        try:
            for some in readouts:
                yield from self.add(some)
        except ReconError:
            yield from self.flush()
            raise
        yield from self.finish()

    def add(self, readouts: ismrmrd.Acquisition | ReadoutBlock) -> list[Buffer]:
        """Add a readout, or a block of them, and return the buffers that are completed.

        A readout that lies outside the matrix, has another number of coils than those before, holds
        no sample, or belongs to an encoding that cannot be reconstructed is left out: `finish`
        raises an error, after the images of all the others.
        """
        block = readouts if isinstance(readouts, ReadoutBlock) else ReadoutBlock.of([readouts])
        while len(block):
            added = self._open.add_plain(block)
            if not added:
                self._add(next(iter(block)))
                added = 1
            block = block.since(added)
        return self._take_ready()

    def _add(self, acquisition: ismrmrd.Acquisition) -> None:
        """Find out what a readout is, add it, and complete the images that it ends."""
        header = header_of(acquisition)
        key = ImageKey.of(header)
        if not self._is_image_data(header.flags):
            image = self._open.get(key)  # a slice may end with a navigator
        else:
            if key not in self._open:
                # Before the readout is added: it may be a calibration line that replaces theirs.
                self._complete(self._completion.at_first_readout(key))
            image = self._open.add(acquisition, key)
            if image is not None:
                image.flagged = False
                self._open.learn(header, key)
        ended = image is not None and header.flags & self._image_lines.ends
        if ended and self._completion.at_flag(key, header):
            self._complete([key])

    def flush(self) -> Iterator[Buffer]:
        """Yield the images that are incomplete or wait for others, one buffer at a time."""
        for key in list(self._open):
            self._complete([key])
            yield from self._take_ready()
        for key, grid in self._complete_images.take(end=True):
            self._make_buffer(key, grid)
            yield from self._take_ready()

    def accumulate(self, acquisition: ismrmrd.Acquisition) -> None:
        """Add a readout and ignore its LAST_IN_* flags; otherwise as `add`."""
        if self._is_image_data(acquisition.flags):
            self._open.add(acquisition, ImageKey.of(header_of(acquisition)))

    def drain(self) -> Iterator[Buffer]:
        """Yield the incomplete images as `flush`, then report rejected readouts.

        Raises
        ------
        DataError
            Readouts were left out, or an image had none but unusable lines.
        """
        yield from self.flush()
        self._open.rejected.check()

    def finish(self) -> Iterator[Buffer]:
        """End the scan as `drain`; at least one image line must have come.

        Raises
        ------
        DataError
            As `drain`, or not one image line came.
        """
        yield from self.drain()
        if not self._completed:
            raise DataError(
                f"No image readout came ({self._open.readouts} calibration readouts did), so there "
                "is nothing to reconstruct. Is this a noise or adjustment scan, or were images "
                "sent?"
            )

    def _is_image_data(self, bits: int) -> bool:
        """Whether a readout is of an image, or a calibration line."""
        if self._image_lines.note(bits):
            self._open.discard()
        return self._image_lines.is_image_data(bits)

    def _complete(self, keys: Iterable[ImageKey]) -> None:
        for key in keys:
            image = self._open.take_out(key)
            if key in self._completed:
                self._warn(
                    f"Readouts came after the image of {key.name} was complete, by its flags or by "
                    "a later repetition: another image is made of them."
                )
            self._open.coils.forget(key)
            if not image.image_lines:
                self._warn(f"No image line came with the calibration lines of {key.name}.")
                continue
            self._complete_images.add(key, image.grid)
        for key, grid in self._complete_images.take(end=False):
            self._make_buffer(key, grid)

    def _make_buffer(self, key: ImageKey, grid: LineGrid) -> None:
        """Make the buffer of an image, unless its readouts are those of none."""
        try:
            self._check_image(key, grid)
            self._ready.append(make_buffer(grid, self._calibration.best_match(key, grid)))
        except DataError as error:
            self._open.rejected.add(error)
        else:
            self._completed.add(key)

    def _check_image(self, key: ImageKey, grid: LineGrid) -> None:
        """Raise `DataError` if an image is a stray readout; warn of empty lines."""
        if len(grid) == 1 and self._open.coils.is_unusual(key, grid.coils):
            raise DataError(
                f"The only readout of {key.name} has {grid.coils} coils, other than most: it is no "
                "image."
            )
        if grid.has_empty_lines and self._warns_unusable:
            self._warn_once("Lines of nothing but zeros count as not measured.")

    def _take_ready(self) -> list[Buffer]:
        ready, self._ready = self._ready, []
        return ready

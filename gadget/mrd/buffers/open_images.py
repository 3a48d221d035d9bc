"""Readouts to the images that are not complete yet, and to calibration lines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import ismrmrd

from gadget.errors import DataError
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.grid import LineGrid, add_readout
from gadget.mrd.buffers.image_accumulator import ImageAccumulator
from gadget.mrd.buffers.plain_lines import PlainLines
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import header_of
from gadget.mrd.readouts.block import ReadoutBlock
from gadget.mrd.readouts.coil_check import CoilCheck
from gadget.mrd.readouts.dead_coils import DeadCoils
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.readouts.placement import line_position
from gadget.mrd.readouts.rejected import RejectedReadouts
from gadget.mrd.readouts.samples import check_samples, is_finite
from gadget.mrd.xml_header.encoding_warnings import encoding_warnings
from gadget.mrd.xml_header.header import Encoding, Header


class OpenImages(Mapping[ImageKey, ImageAccumulator]):
    """The images that are not complete yet; each begins with its first readout.

    Parameters
    ----------
    header
        Header of the scan.
    warn
        Called with every warning.
    calibration
        Where calibration lines are added.
    warn_unusable
        Whether to warn of readouts with samples that are not finite.
    """

    def __init__(
        self,
        header: Header,
        warn: Callable[[str], None],
        calibration: CalibrationLines,
        *,
        warn_unusable: bool,
    ) -> None:
        self._header = header
        self._warn = warn
        self._warn_once = functools.cache(warn)
        self._warns_unusable = warn_unusable
        self._calibration = calibration
        self._images: dict[ImageKey, ImageAccumulator] = {}
        self._plain = PlainLines(self._images)
        self._dead_coils = DeadCoils(warn)
        self.coils = CoilCheck(header.receiver_channels)
        """The number of coils of their readouts."""
        self.rejected = RejectedReadouts(warn)
        """Readouts that are none of them."""
        self.readouts = 0
        """Number of readouts so far."""

    def __getitem__(self, key: ImageKey) -> ImageAccumulator:
        return self._images[key]

    def __iter__(self) -> Iterator[ImageKey]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def add_plain(self, lines: ReadoutBlock) -> int:
        """Add lines up to one that has to be looked at on its own, and return how many."""
        added = self._plain.add(lines)
        if added:
            header = lines.headers[0]
            self.coils.add(ImageKey.of(header), header.active_channels, added)
            self.readouts += added
        return added

    def add(self, acquisition: ismrmrd.Acquisition, key: ImageKey) -> ImageAccumulator | None:
        """Add a readout, or reject it with the reason; return the image that it belongs to.

        A separate calibration line belongs to none.
        """
        try:
            return self._place(self._dead_coils.silence(acquisition), key)
        except DataError as error:
            self.rejected.add(error)
            return None

    def learn(self, header: ismrmrd.AcquisitionHeader, key: ImageKey) -> None:
        """Note a readout that belongs to an image: lines like it may be plain."""
        self._plain.learn(header, key)

    def take_out(self, key: ImageKey) -> ImageAccumulator:
        """Return an image, which gets no more lines."""
        image = self._images.pop(key)
        self._plain.forget(image)
        return image

    def discard(self) -> None:
        """Forget the image lines so far, and those of them that were rejected."""
        for key in [key for key, image in self._images.items() if image.image_lines]:
            self.take_out(key)
        self.rejected = RejectedReadouts(self._warn)
        self.coils = CoilCheck(self._header.receiver_channels)

    def _place(self, acquisition: ismrmrd.Acquisition, key: ImageKey) -> ImageAccumulator | None:
        """Add a readout to its grid; return the image, unless it is a separate calibration line."""
        encoding = self._header.encoding(key.encoding)
        header = header_of(acquisition)
        self.readouts += 1
        check_samples(header)
        separate_calibration = (
            flags.calibration_only(header.flags) and not encoding.merges_calibration
        )
        if not separate_calibration:
            self._check_coils(key, header)
        position = line_position(encoding, header)
        if position is None:
            self._warn_once("Lines above the spatial frequencies of the matrix are left out.")
            return self.get(key)
        if not is_finite(acquisition.data):
            self._warn_not_finite(header)
            if not separate_calibration and key not in self:
                self.rejected.lost_images.add(key)
            return self.get(key)
        image = None
        if not separate_calibration:
            image = self._image(key, encoding, header)
            image.add(position, acquisition.data, header)
            self.rejected.lost_images.discard(key)
        # An embedded line may serve images of a later repetition or contrast, too.
        shared = encoding.embedded and header.flags & flags.ANY_CALIBRATION
        if separate_calibration or shared:
            grid = self._calibration.grid(key, encoding, header, self)
            add_readout(grid, position, acquisition.data, header)
        return image

    def _warn_not_finite(self, header: ismrmrd.AcquisitionHeader) -> None:
        if self._warns_unusable:
            self._warn(
                f"Readout {header.scan_counter} holds samples that are not finite; its line counts "
                "as not measured."
            )

    def _check_coils(self, key: ImageKey, header: ismrmrd.AcquisitionHeader) -> None:
        outvoted = self.coils.add(key, header.active_channels)
        if outvoted and key in self:
            self._reject_image(self.take_out(key), outvoted)
        self.coils.check(key, header)

    def _reject_image(self, image: ImageAccumulator, why: str) -> None:
        """Reject all readouts of an image so far."""
        for _ in range(len(image.grid)):
            self.rejected.add(DataError(why))

    def _image(
        self, key: ImageKey, encoding: Encoding, header: ismrmrd.AcquisitionHeader
    ) -> ImageAccumulator:
        image = self._images.get(key)
        if image is None:
            grid = LineGrid.of_readout(encoding, header)
            image = self._images[key] = ImageAccumulator(grid)
            for warning in encoding_warnings(encoding, grid.width):
                self._warn_once(warning)
        return image

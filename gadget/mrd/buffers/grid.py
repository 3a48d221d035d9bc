"""The encoded k-space grid, filled line by line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.readouts.oversampling import remove_oversampling
from gadget.mrd.readouts.placement import grid_width, readout_extent
from gadget.mrd.readouts.recentre import recentred
from gadget.mrd.readouts.samples import is_empty
from gadget.mrd.xml_header.header import Encoding
from gadget.mri.sampling.centre import has_centre
from gadget.text import pluralize

log = logging.getLogger(__name__)

LINES_PER_BLOCK = 16
"""Lines that are transformed together; a block fits the CPU cache."""


@dataclass
class _Line:
    """Sum of the readouts of a line."""

    samples: NDArray[np.complex64]
    """`[coil, kx]`, shared with the readout where there is one of full width."""
    weight: NDArray[np.float32]
    """How many readouts each sample `[kx]` is the sum of."""
    header: ismrmrd.AcquisitionHeader
    """That of the first readout, of the first image readout where there is one."""
    empty: bool
    """Whether it holds nothing but zeros."""


class LineGrid:
    """Sum of the readouts of one image; memory only for measured lines."""

    def __init__(self, encoding: Encoding, coils: int, width: int) -> None:
        self.encoding = encoding
        self.coils = coils
        self.width = width
        self._lines: dict[tuple[int, int], _Line] = {}
        self._once = np.ones(width, np.float32)

    @classmethod
    def of_readout(cls, encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> LineGrid:
        """Return the grid of an image that begins with a readout.

        Raises
        ------
        DataError
            The readout does not fit the encoded matrix.
        """
        return cls(encoding, header.active_channels, grid_width(encoding, header))

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def partitions(self) -> int:
        """Number of kz with lines."""
        return len({kz for kz, _ in self._lines})

    def covers(self, other: LineGrid) -> bool:
        """Whether all lines of another grid are measured here."""
        return self.dense_shape == other.dense_shape and other._lines.keys() <= self._lines.keys()

    @property
    def centre_sampled(self) -> bool:
        """Whether the lines in the centre of k-space are complete."""
        _, ny, nz = self.encoding.encoded.matrix
        mask = np.zeros((nz, ny), bool)
        for position in self._lines:
            mask[position] = True
        return has_centre(mask)

    @property
    def dense_shape(self) -> tuple[int, int, int]:
        """Size `[kz, ky, kx]` of what `to_dense` returns."""
        _, ny, nz = self.encoding.encoded.matrix
        return nz, ny, min(self.width, self.encoding.recon_readout)

    def add(
        self,
        position: tuple[int, int],
        samples: NDArray[np.complex64],
        offset: int,
        header: ismrmrd.AcquisitionHeader,
    ) -> None:
        """Add a readout.

        Parameters
        ----------
        position
            Where the line lies, (kz, ky).
        samples
            Measured samples `[coil, kx]`.
        offset
            Index of the first sample relative to the centre of k-space.
        header
            The readout's header; the first one of every line is kept.

        Raises
        ------
        DataError
            The samples reach beyond the grid.
        """
        origin = self.width // 2
        start, stop = offset + origin, offset + origin + samples.shape[1]
        if start < -1 or stop > self.width + 1:
            raise DataError(
                f"Readout {header.scan_counter} covers kx {start} to {stop - 1} of a grid of "
                f"{self.width}, which the first readout of its image determined. All readouts of "
                "an image must have one sampling rate."
            )
        samples = samples[:, max(0, -start) : samples.shape[1] - max(0, stop - self.width)]
        empty = is_empty(samples)
        samples, weight = self._full_width(samples, max(0, start))
        self._add(position, _Line(samples, weight, header, empty))

    def include(self, other: LineGrid) -> None:
        """Add the lines of another grid of as many coils and samples."""
        for position, line in other._lines.items():
            self._add(position, replace(line))

    def _add(self, position: tuple[int, int], added: _Line) -> None:
        line = self._lines.setdefault(position, added)
        if line is added:
            return
        # Not in place: the first readout's own samples stay what they are.
        line.samples = line.samples + added.samples
        line.weight = line.weight + added.weight
        line.empty &= added.empty
        if flags.calibration_only(line.header.flags) and not (
            flags.calibration_only(added.header.flags)
        ):
            line.header = added.header

    def _full_width(
        self, samples: NDArray[np.complex64], start: int
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Return samples `[coil, kx]` and weight `[kx]` of the grid's width, 0 at the ends."""
        count = samples.shape[1]
        if count == self.width:
            return samples, self._once
        full = np.zeros((self.coils, self.width), np.complex64)
        weight = np.zeros(self.width, np.float32)
        full[:, start : start + count] = samples
        weight[start : start + count] = 1
        return full, weight

    @property
    def has_empty_lines(self) -> bool:
        """Whether there are lines of nothing but zeros."""
        return any(line.empty for line in self._lines.values())

    def to_dense(
        self, *, keep: bool = False
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32], NDArray[np.void]]:
        """Return data `[coil, kz, ky, kx]`, weights `[kz, ky, kx]` and headers `[kz, ky]`.

        Averages are divided by their count, readout oversampling and spikes are removed. Lines
        without signal count as not measured, unless all image lines are. Unless the lines are to
        be kept, the grid gives its memory back on the way and is empty afterwards.
        """
        nz, ny, nx = self.dense_shape
        data = np.zeros((self.coils, nz, ny, nx), np.complex64)
        weights = np.zeros((nz, ny, nx), np.float32)
        headers = np.zeros((nz, ny), HEADER_DTYPE)
        drop_empty = self._has_image_signal()
        spikes = 0
        block = np.empty((LINES_PER_BLOCK, self.coils, self.width), np.complex64)
        for positions in _batches(list(self._lines), LINES_PER_BLOCK):
            lines = [self._lines[at] if keep else self._lines.pop(at) for at in positions]
            samples = np.stack([line.samples for line in lines], out=block[: len(lines)])
            weight = np.stack([line.weight for line in lines])
            samples, weight = _divide_by_averages(samples, weight)
            samples, weight, found = remove_oversampling(samples, weight, nx)
            spikes += found
            if drop_empty:
                weight = weight * [[not line.empty] for line in lines]
            for (kz, ky), measured in zip(positions, samples, strict=True):
                data[:, kz, ky] = measured
            there = tuple(np.transpose(positions))
            weights[there] = weight
            raw = b"".join(bytes(line.header) for line in lines)
            headers[there] = np.frombuffer(raw, HEADER_DTYPE)
        if spikes:
            image = ImageKey.of(lines[0].header).name
            log.warning("Removed from the readouts of %s: %s.", image, pluralize(spikes, "spike"))
        _set_sample_counts(headers, weights)
        return data, weights, headers

    def _has_image_signal(self) -> bool:
        """Whether any but calibration lines holds more than zeros."""
        return any(
            not line.empty and not flags.calibration_only(line.header.flags)
            for line in self._lines.values()
        )


def _batches(positions: list[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def add_readout(
    grid: LineGrid,
    position: tuple[int, int],
    samples: NDArray[np.complex64],
    header: ismrmrd.AcquisitionHeader,
) -> None:
    """Add a readout in forward order, without its discarded samples."""
    count, before, after, center = readout_extent(header)
    samples = forward_samples(grid, samples, header)
    grid.add(position, samples[:, before : count - after], before - center, header)


def forward_samples(
    grid: LineGrid, samples: NDArray[np.complex64], header: ismrmrd.AcquisitionHeader
) -> NDArray[np.complex64]:
    """Return samples in forward order, recentred if Gadgetron removed their oversampling."""
    reverse = bool(header.flags & flags.REVERSE)
    full = grid.encoding.encoded.matrix[0]
    if samples.shape[1] == grid.width < full:
        samples = recentred(samples, full, reverse=reverse)
    return samples[:, ::-1] if reverse else samples


def _divide_by_averages(
    samples: NDArray[np.complex64], weight: NDArray[np.float32]
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    if weight.max(initial=0) > 1:
        samples /= np.maximum(weight, 1)[:, None]
    return samples, weight


def _set_sample_counts(headers: NDArray[np.void], weights: NDArray[np.float32]) -> None:
    """Set sample counts and discards in headers `[kz, ky]` to the weights `[kz, ky, kx]`."""
    nx = weights.shape[-1]
    measured = weights > 0
    lines = measured.any(axis=-1)
    headers["number_of_samples"] = np.where(lines, nx, 0)
    headers["center_sample"] = np.where(lines, nx // 2, 0)
    headers["discard_pre"] = np.where(lines, measured.argmax(axis=-1), 0)
    headers["discard_post"] = np.where(lines, measured[..., ::-1].argmax(axis=-1), 0)
    headers["trajectory_dimensions"] = 0

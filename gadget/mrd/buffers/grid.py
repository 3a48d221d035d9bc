"""The encoded k-space grid, filled line by line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
from gadget.mrd.readouts.oversampling import remove_oversampling
from gadget.mrd.readouts.placement import grid_width, readout_extent
from gadget.mrd.readouts.recentre import recentred
from gadget.mrd.readouts.samples import is_empty
from gadget.mrd.xml_header.header import Encoding

LINES_PER_BLOCK = 16
"""Lines that are stored and transformed together; a block fits the CPU cache."""


class LineGrid:
    """Sum of the readouts of one image; memory only for measured lines.

    Lines are stored with k = 0 first, the order of an FFT, so that completing needs no shifts.
    """

    def __init__(self, encoding: Encoding, coils: int, width: int) -> None:
        self.encoding = encoding
        self.coils = coils
        self.width = width
        self._slots: dict[tuple[int, int], int] = {}
        self._not_empty: set[tuple[int, int]] = set()
        self._headers: list[bytes] = []
        self._samples: list[NDArray[np.complex64]] = []
        self._weights: list[NDArray[np.float32]] = []

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
        return len(self._slots)

    @property
    def partitions(self) -> int:
        """Number of kz with lines."""
        return len({kz for kz, _ in self._slots})

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
        lost = max(0, -start)
        samples = samples[:, lost : samples.shape[1] - max(0, stop - self.width)]
        if not is_empty(samples):
            self._not_empty.add(position)
        block, row, new = self._slot(position, header)
        line, weight = self._samples[block][row], self._weights[block][row]
        if new and samples.shape[1] < self.width:
            line.fill(0)
            weight.fill(0)
        for here, there in _fft_order_slices(max(0, start), samples.shape[1], self.width):
            if new:
                line[:, there] = samples[:, here]
                weight[there] = 1
            else:
                line[:, there] += samples[:, here]
                weight[there] += 1

    @property
    def has_empty_lines(self) -> bool:
        """Whether there are lines of nothing but zeros."""
        return len(self._not_empty) < len(self._slots)

    def _slot(
        self, position: tuple[int, int], header: ismrmrd.AcquisitionHeader
    ) -> tuple[int, int, bool]:
        """Return block and row where a line is stored, and whether it is new."""
        slot = self._slots.get(position)
        new = slot is None
        if slot is None:
            slot = self._slots[position] = len(self._slots)
            self._headers.append(bytes(header))
            if slot // LINES_PER_BLOCK == len(self._samples):
                self._samples.append(
                    np.empty((LINES_PER_BLOCK, self.coils, self.width), np.complex64)
                )
                self._weights.append(np.empty((LINES_PER_BLOCK, self.width), np.float32))
        elif flags.calibration_only(_header(self._headers[slot]).flags) and not (
            flags.calibration_only(header.flags)
        ):
            self._headers[slot] = bytes(header)
        return slot // LINES_PER_BLOCK, slot % LINES_PER_BLOCK, new

    def to_dense(
        self, *, keep: bool = False
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32], NDArray[np.void]]:
        """Return data `[coil, kz, ky, kx]`, weights `[kz, ky, kx]` and headers `[kz, ky]`.

        Averages are divided by their count and readout oversampling is removed. Lines without
        signal count as not measured, unless all image lines are. Unless the lines
        are to be kept, the grid gives its memory back on the way and is empty afterwards.
        """
        nz, ny, nx = self.dense_shape
        data = np.zeros((self.coils, nz, ny, nx), np.complex64)
        weights = np.zeros((nz, ny, nx), np.float32)
        headers = np.zeros((nz, ny), HEADER_DTYPE)
        positions = list(self._slots)
        half = nx - nx // 2
        for index, (samples, weight) in enumerate(self._blocks(keep)):
            here = positions[index * LINES_PER_BLOCK : (index + 1) * LINES_PER_BLOCK]
            samples, weight = _divide_by_averages(samples[: len(here)], weight[: len(here)])
            samples, weight = remove_oversampling(samples, weight, nx)
            # Back from the order of the FFT to a centred grid.
            for (kz, ky), line in zip(here, samples, strict=True):
                data[:, kz, ky, nx // 2 :] = line[:, :half]
                data[:, kz, ky, : nx // 2] = line[:, half:]
            weights[tuple(np.transpose(here))] = np.fft.fftshift(weight, axes=-1)
        for (kz_line, ky_line), raw in zip(self._slots, self._headers, strict=True):
            headers[kz_line, ky_line] = np.frombuffer(raw, HEADER_DTYPE)[0]
        self._drop_empty_lines(weights)
        _set_sample_counts(headers, weights)
        if not keep:
            self._slots.clear()
            self._not_empty.clear()
            self._headers.clear()
        return data, weights, headers

    def _drop_empty_lines(self, weights: NDArray[np.float32]) -> None:
        empty = self._slots.keys() - self._not_empty
        noted = (self._headers[self._slots[position]] for position in self._not_empty)
        if empty and not all(flags.calibration_only(_header(raw).flags) for raw in noted):
            weights[tuple(np.transpose(list(empty)))] = 0

    def _blocks(self, keep: bool) -> Iterator[tuple[NDArray[np.complex64], NDArray[np.float32]]]:
        """Yield blocks of samples and weights that the caller may overwrite."""
        if keep:
            for samples, weight in zip(self._samples, self._weights, strict=True):
                yield samples.copy(), weight
            return
        self._samples.reverse()
        self._weights.reverse()
        while self._samples:
            yield self._samples.pop(), self._weights.pop()


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


@lru_cache
def _fft_order_slices(start: int, count: int, width: int) -> list[tuple[slice, slice]]:
    """Return pairs of slices that copy a centred readout to FFT order (k = 0 first).

    Parameters
    ----------
    start
        Where the first sample lies on the centred grid.
    count
        Samples of the readout.
    width
        Samples of the grid.
    """
    negative = min(count, max(0, width // 2 - start))
    first, origin = (start - width // 2) % width, max(0, start - width // 2)
    spans = [
        (slice(0, negative), slice(first, first + negative)),
        (slice(negative, count), slice(origin, origin + count - negative)),
    ]
    return [(here, there) for here, there in spans if here.start < here.stop]


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


def _header(raw: bytes) -> ismrmrd.AcquisitionHeader:
    return ismrmrd.AcquisitionHeader.from_buffer_copy(raw)

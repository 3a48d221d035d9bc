"""Readouts laid on the encoded grid, line by line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import ismrmrd
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd import flags
from gadget.mrd.header import Encoding, Limit
from gadget.mrd.recon_data import HEADER_DTYPE

BLOCK = 16
"""Lines that are stored and transformed together: few enough to stay in the cache."""
EDGE = 2
"""Samples of the cropped readout next to unmeasured ones that interpolation leaves unsure."""


def line_position(encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> tuple[int, int] | None:
    """Return where a line lies on the encoded grid, as (kz, ky).

    Nothing is returned for a line that the encoding limits declare although the matrix does not
    hold it: a spatial frequency above those of the image.

    Raises
    ------
    DataError
        The line lies outside the matrix.
    """
    _, ny, nz = encoding.encoded.matrix
    limits = encoding.limits
    idx = header.idx
    ky = _along(limits.get("kspace_encoding_step_1"), idx.kspace_encode_step_1, ny)
    kz = _along(limits.get("kspace_encoding_step_2"), idx.kspace_encode_step_2, nz)
    if 0 <= ky < ny and 0 <= kz < nz:
        return kz, ky
    if _declared(limits.get("kspace_encoding_step_1"), idx.kspace_encode_step_1, ky, ny) and (
        _declared(limits.get("kspace_encoding_step_2"), idx.kspace_encode_step_2, kz, nz)
    ):
        return None
    raise DataError(
        f"Readout {header.scan_counter} (kspace_encode_step_1 {idx.kspace_encode_step_1}, "
        f"kspace_encode_step_2 {idx.kspace_encode_step_2}) would lie at ky {ky}, kz {kz}, outside "
        f"the encoded matrix of {ny} x {nz}. Check encodingLimits and matrixSize in the header."
    )


def _along(limit: Limit | None, index: int, size: int) -> int:
    # Converters write any centre for the partitions of a 2D scan; Gadgetron ignores it too.
    if limit is None or size == 1:
        return 0 if size == 1 and limit is not None and index == limit.center else index
    return index - limit.center + size // 2


def _declared(limit: Limit | None, index: int, position: int, size: int) -> bool:
    if 0 <= position < size:
        return True
    return (
        limit is not None
        and limit.maximum - limit.minimum >= size
        and limit.minimum <= index <= limit.maximum
    )


def readout_center(samples: int, center: int) -> int:
    """Return the sample at the centre of k-space; headers that leave it 0 mean the middle."""
    return center if center or samples == 1 else samples // 2


def readout_width(encoding: Encoding, samples: int, center: int) -> int:
    """Return the length of the grid that a readout belongs to.

    It is the encoded matrix, or the part of it that is left when an earlier step (Gadgetron's
    `RemoveROOversamplingGadget`) has removed the oversampling that the header still declares.

    Raises
    ------
    DataError
        The readout fits neither.
    """
    full, cropped = encoding.encoded.matrix[0], encoding.recon_readout
    start = cropped // 2 - center
    fills = start <= 1 or start + samples >= cropped - 1
    if start >= 0 and start + samples <= cropped and fills:
        return cropped
    # A centre that is off by one costs one sample, not the scan.
    start = full // 2 - center
    if start >= -1 and start + samples <= full + 1:
        return full
    raise DataError(
        f"A readout has {samples} samples with the centre of k-space at sample {center}, which "
        f"does not fit the encoded matrix of {full}. Check matrixSize in the header and "
        "center_sample of the readouts."
    )


class Extent(NamedTuple):
    """Which samples of a readout count, as if it had been measured forwards."""

    samples: int
    before: int
    """Samples to be discarded at the beginning."""
    after: int
    """Samples to be discarded at the end."""
    center: int
    """Sample at the centre of k-space."""


def readout_extent(header: ismrmrd.AcquisitionHeader) -> Extent:
    """Return which samples of a readout count."""
    samples = header.number_of_samples
    center = readout_center(samples, header.center_sample)
    before, after = header.discard_pre, header.discard_post
    if not header.flags & flags.REVERSE:
        return Extent(samples, before, after, center)
    center = center if center == samples // 2 else samples - 1 - center
    return Extent(samples, after, before, center)


def grid_width(encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> int:
    """Return the length of the grid that a readout belongs to, see `readout_width`.

    More samples than the grid has fit if those are to be discarded that are too many.
    """
    samples, before, after, center = readout_extent(header)
    try:
        return readout_width(encoding, samples, center)
    except DataError:
        if not before + after:
            raise
    return readout_width(encoding, samples - before - after, center - before)


class LineGrid:
    """Sum of the readouts of one image, kept only where lines were measured.

    Lines are stored with k = 0 first, the order of an FFT, so that completing needs no shifts.
    """

    def __init__(self, encoding: Encoding, coils: int, width: int) -> None:
        self.encoding = encoding
        self.coils = coils
        self.width = width
        self._slots: dict[tuple[int, int], int] = {}
        self._headers: list[bytes] = []
        self._samples: list[NDArray[np.complex64]] = []
        self._weights: list[NDArray[np.float32]] = []

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def partitions(self) -> int:
        """Number of different kz that hold a line."""
        return len({kz for kz, _ in self._slots})

    def add(
        self,
        position: tuple[int, int],
        samples: NDArray[np.complex64],
        first: int,
        header: ismrmrd.AcquisitionHeader,
    ) -> None:
        """Add a readout.

        Parameters
        ----------
        position
            Where the line lies, (kz, ky).
        samples
            Measured samples `[coil, kx]`.
        first
            Distance of the first sample from the centre of k-space, in samples.
        header
            The readout's header; the first one of every line is kept.

        Raises
        ------
        DataError
            The samples reach beyond the grid.
        """
        origin = self.width // 2
        start, stop = first + origin, first + origin + samples.shape[1]
        if start < -1 or stop > self.width + 1:
            raise DataError(
                f"Readout {header.scan_counter} covers kx {start} to {stop - 1} of a grid of "
                f"{self.width}, which the first readout of its image determined. All readouts of "
                "an image must have one sampling rate."
            )
        lost = max(0, -start)
        samples = samples[:, lost : samples.shape[1] - max(0, stop - self.width)]
        block, row, new = self._slot(position, header)
        line, weight = self._samples[block][row], self._weights[block][row]
        if new and samples.shape[1] < self.width:
            line.fill(0)
            weight.fill(0)
        for here, there in _spans(max(0, start), samples.shape[1], self.width):
            if new:
                line[:, there] = samples[:, here]
                weight[there] = 1
            else:
                line[:, there] += samples[:, here]
                weight[there] += 1

    def _slot(
        self, position: tuple[int, int], header: ismrmrd.AcquisitionHeader
    ) -> tuple[int, int, bool]:
        """Return block and row of a line, and whether it is a new one."""
        slot = self._slots.get(position)
        new = slot is None
        if slot is None:
            slot = self._slots[position] = len(self._slots)
            self._headers.append(bytes(header))
            if slot // BLOCK == len(self._samples):
                self._samples.append(np.empty((BLOCK, self.coils, self.width), np.complex64))
                self._weights.append(np.empty((BLOCK, self.width), np.float32))
        elif flags.calibration_only(_header(self._headers[slot]).flags) and not (
            flags.calibration_only(header.flags)
        ):
            self._headers[slot] = bytes(header)
        return slot // BLOCK, slot % BLOCK, new

    def to_dense(
        self, *, keep: bool = False
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32], NDArray[np.void]]:
        """Return data `[coil, kz, ky, kx]`, weights `[kz, ky, kx]` and headers `[kz, ky]`.

        Averages are divided by their count and readout oversampling is removed. Unless the lines
        are to be kept, the grid gives its memory back on the way and is empty afterwards.
        """
        _, ny, nz = self.encoding.encoded.matrix
        nx = min(self.width, self.encoding.recon_readout)
        data = np.zeros((self.coils, nz, ny, nx), np.complex64)
        weights = np.zeros((nz, ny, nx), np.float32)
        headers = np.zeros((nz, ny), HEADER_DTYPE)
        positions = list(self._slots)
        half = nx - nx // 2
        for index, (samples, weight) in enumerate(self._blocks(keep)):
            here = positions[index * BLOCK : (index + 1) * BLOCK]
            samples, weight = _averaged(samples[: len(here)], weight[: len(here)])
            samples, weight = remove_oversampling(samples, weight, nx)
            # Back from the order of the FFT to a centred grid.
            for (kz, ky), line in zip(here, samples, strict=True):
                data[:, kz, ky, nx // 2 :] = line[:, :half]
                data[:, kz, ky, : nx // 2] = line[:, half:]
            weights[tuple(np.transpose(here))] = np.fft.fftshift(weight, axes=-1)
        for (kz_line, ky_line), raw in zip(self._slots, self._headers, strict=True):
            headers[kz_line, ky_line] = np.frombuffer(raw, HEADER_DTYPE)[0]
        _describe_samples(headers, weights)
        if not keep:
            self._slots.clear()
            self._headers.clear()
        return data, weights, headers

    def _blocks(self, keep: bool) -> Iterator[tuple[NDArray[np.complex64], NDArray[np.float32]]]:
        """Yield samples and weights that the receiver may overwrite."""
        if keep:
            for samples, weight in zip(self._samples, self._weights, strict=True):
                yield samples.copy(), weight
            return
        self._samples.reverse()
        self._weights.reverse()
        while self._samples:
            yield self._samples.pop(), self._weights.pop()


@lru_cache
def _spans(start: int, count: int, width: int) -> list[tuple[slice, slice]]:
    """Return which samples of a centred readout go where in the order of the FFT.

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


@np.errstate(over="ignore", invalid="ignore")  # of damaged samples: that shows in the image
def remove_oversampling(
    samples: NDArray[np.complex64], weight: NDArray[np.float32], size: int
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Cut the field of view along the readout down to its centre.

    Both transforms are orthonormal: the variance of white noise stays what it was.

    Parameters
    ----------
    samples
        Lines `[line, coil, kx]` with k = 0 first.
    weight
        Averages `[line, kx]` in the same order.
    size
        Samples that are left.
    """
    width = samples.shape[-1]
    if size == width:
        return samples, weight
    image = np.fft.ifft(samples, axis=-1, norm="ortho")
    left = size // 2
    image = np.concatenate([image[..., : size - left], image[..., width - left :]], axis=-1)
    cropped = np.fft.fft(image, axis=-1, norm="ortho").astype(np.complex64, copy=False)
    if weight.min() == weight.max():
        return cropped, weight[:, :size]
    kept = np.fft.ifftshift(_crop_weight(np.fft.fftshift(weight, axes=-1), size), axes=-1)
    if not kept.all():
        cropped *= (kept > 0)[:, None]
    return cropped, kept


def _crop_weight(weight: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resample averages `[line, kx]` to a coarser kx, unmeasured where interpolation is unsure."""
    width = weight.shape[-1]
    ratio = width / size
    reach = math.ceil(EDGE * ratio)
    padded = np.pad(weight, ((0, 0), (reach, reach)), mode="edge")
    certain = sliding_window_view(padded, 2 * reach + 1, axis=-1).min(axis=-1)
    at = width // 2 + np.rint((np.arange(size) - size // 2) * ratio).astype(int)
    resampled: NDArray[np.float32] = certain[:, np.clip(at, 0, width - 1)]
    return resampled


def _averaged(
    samples: NDArray[np.complex64], weight: NDArray[np.float32]
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    if weight.max(initial=0) > 1:
        samples /= np.maximum(weight, 1)[:, None]
    return samples, weight


def _describe_samples(headers: NDArray[np.void], weights: NDArray[np.float32]) -> None:
    """Let the headers `[kz, ky]` tell which samples of `[kz, ky, kx]` their lines hold."""
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

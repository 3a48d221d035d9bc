"""Conversion between k-space buffers and ReconData, of `gather` or of Gadgetron's own gadgets."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.buffers.buffer import Buffer, central_header, grid_field_of_view, make_buffer
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.grid import LineGrid, forward_samples
from gadget.mrd.buffers.recon_data import (
    ReconBit,
    ReconBuffer,
    ReconData,
    SamplingDescription,
)
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import HEADER_DTYPE, header_at
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.readouts.placement import grid_width, line_position, readout_center, readout_extent
from gadget.mrd.xml_header.header import Header
from gadget.mri.kspace import KSpace

log = logging.getLogger(__name__)


def to_recon_data(buffer: Buffer) -> ReconData:
    """Convert a buffer to ReconData; the averages of every point are sent as its density."""
    bit = ReconBit(_recon_buffer(buffer.kspace, buffer.headers, buffer))
    calibration = buffer.kspace.calibration
    if calibration is not None:
        headers = np.zeros(calibration.weight.shape[:2], HEADER_DTYPE)
        bit.calibration = _recon_buffer(calibration, headers, buffer)
    return ReconData([bit])


def from_recon_data(
    recon_data: ReconData, header: Header, calibration: CalibrationLines | None = None
) -> Iterator[Buffer]:
    """Yield the buffers of a message: one for every image, averages added up.

    The mask is the density where `gather` wrote the message. Gadgetron writes none: there a line
    was measured where its header is not blank, within the samples that the header declares valid;
    where a gadget has filled in all the headers, lines of zeros count as not measured.

    Parameters
    ----------
    recon_data
        The message.
    header
        Header of the scan.
    calibration
        Calibration lines of the messages before, to which those of this one are added: many scans
        measure them once, before the first repetition.

    Raises
    ------
    DataError
        The arrays do not fit together, or hold no image line; after the buffers of all the others.
    """
    calibration = calibration or CalibrationLines(log.warning)
    errors: list[DataError] = []
    # Calibration lines of an encoding space of their own come behind the image they are for.
    for bit in sorted(recon_data.bits, key=lambda bit: bit.data.data.size > 0):
        try:
            if bit.data.data.size:
                yield from _unpack(bit, header, calibration)
            else:
                _add_calibration(bit, header, calibration)
        except DataError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _recon_buffer(kspace: KSpace, headers: NDArray[np.void], buffer: Buffer) -> ReconBuffer:
    return ReconBuffer(
        data=kspace.data[None, None, None],
        headers=headers[None, None, None],
        sampling=_sampling(buffer, kspace),
        density=kspace.weight[None, None, None],
    )


def _sampling(buffer: Buffer, kspace: KSpace) -> SamplingDescription:
    sampling = SamplingDescription()
    sizes = kspace.weight.shape[::-1]
    mask = kspace.mask
    for axis, size in enumerate(sizes):
        sampling.encoded_FOV[axis] = buffer.field_of_view[axis]
        sampling.encoded_matrix[axis] = size
        sampling.recon_FOV[axis] = buffer.encoding.recon.field_of_view_mm[axis]
        sampling.recon_matrix[axis] = buffer.encoding.recon.matrix[axis]
        others = tuple(other for other in range(3) if other != 2 - axis)
        measured = np.flatnonzero(mask.any(axis=others))
        limit = sampling.sampling_limits[axis]
        limit.min, limit.max = (measured[0], measured[-1]) if measured.size else (0, size - 1)
        limit.center = size // 2
    return sampling


def _unpack(bit: ReconBit, header: Header, calibration: CalibrationLines) -> Iterator[Buffer]:
    _check(bit.data)
    if bit.data.density is not None:
        for index in np.ndindex(bit.data.data.shape[:3]):
            yield _unpack_gathered(bit, index, header)
        return
    grids: dict[ImageKey, LineGrid] = {}
    errors: list[DataError] = []
    for index in np.ndindex(bit.data.data.shape[:3]):
        lines = bit.data.headers[index]
        if ((lines["number_of_samples"] > 0) & _is_image_line(lines)).any():
            try:
                _add_image_lines(bit, index, header, grids)
            except DataError as error:
                errors.append(error)
    _add_calibration(bit, header, calibration, grids)
    if not grids and not errors:
        raise DataError(
            "The headers of a k-space buffer are all blank, or those of navigators and the like, "
            "so no line of it was measured. Check what comes before this node."
        )
    for key, grid in grids.items():
        calibration.include(key, grid)
    for key, grid in grids.items():
        try:
            buffer = make_buffer(grid, calibration.best_match(key, grid))
        except DataError as error:
            errors.append(error)
            continue
        yield buffer
    if errors:
        raise errors[0]


def _check(buffer: ReconBuffer) -> None:
    shape = buffer.data.shape
    if len(shape) != 7 or buffer.headers.shape != (*shape[:3], *shape[4:6]):
        raise DataError(
            "A k-space buffer must hold data [loc, s, n, coil, kz, ky, kx] and headers "
            f"[loc, s, n, kz, ky], got {list(shape)} and {list(buffer.headers.shape)}."
        )
    if buffer.density is not None and buffer.density.shape != (*shape[:3], *shape[4:]):
        raise DataError(
            f"The density of a k-space buffer must be {[*shape[:3], *shape[4:]]} like its data, "
            f"got {list(buffer.density.shape)}."
        )


def _unpack_gathered(bit: ReconBit, index: tuple[int, ...], header: Header) -> Buffer:
    """Unpack what `to_recon_data` packed."""
    headers = bit.data.headers[index]
    reference = central_header(headers)
    encoding = header.encoding(reference.encoding_space_ref)
    kspace = KSpace(
        bit.data.data[index], _density(bit.data)[index], _unpack_calibration(bit, index)
    )
    readout = kspace.data.shape[-1]
    return Buffer(kspace, reference, encoding, grid_field_of_view(encoding, readout), headers)


def _unpack_calibration(bit: ReconBit, index: tuple[int, ...]) -> KSpace | None:
    lines = bit.calibration
    if lines is None or lines.density is None:
        return None
    _check(lines)
    return KSpace(lines.data[index], lines.density[index])


def _density(buffer: ReconBuffer) -> NDArray[np.float32]:
    if buffer.density is None:
        raise DataError("A k-space buffer has a density for its calibration lines alone.")
    return buffer.density


def _add_image_lines(
    bit: ReconBit, index: tuple[int, ...], header: Header, grids: dict[ImageKey, LineGrid]
) -> None:
    """Add the lines of one of Gadgetron's buffers to the grid of their image."""
    reference = central_header(bit.data.headers[index])
    encoding = header.encoding(reference.encoding_space_ref)
    key = ImageKey.of(reference)
    grid = grids.get(key)
    if grid is None:
        coils = bit.data.data.shape[3]
        grid = grids[key] = LineGrid(encoding, coils, grid_width(encoding, reference))
    added = _add_lines(bit.data, index, grid)
    lines = bit.calibration
    if encoding.merges_calibration and lines is not None and lines.data.size:
        _check(lines)
        if index in np.ndindex(lines.data.shape[:3]):
            _add_lines(lines, index, grid, skip=added)


def _add_lines(
    buffer: ReconBuffer,
    index: tuple[int, ...],
    grid: LineGrid,
    skip: frozenset[tuple[int, int]] = frozenset(),
) -> frozenset[tuple[int, int]]:
    """Add the measured lines of a buffer to a grid; return their positions."""
    data, headers = buffer.data[index], buffer.headers[index]
    measured = headers["number_of_samples"] > 0
    if measured.all():
        measured = (data != 0).any(axis=(0, -1))
    measured &= np.isfinite(data).all(axis=(0, -1))
    measured &= _is_image_line(headers)
    added = set()
    for kz, ky in np.argwhere(measured):
        line = header_at(headers, (int(kz), int(ky)))
        # Gadgetron counts calibration lines of their own from the first one, so only the header
        # tells where they belong.
        position = line_position(grid.encoding, line)
        if position is None or position in skip:
            continue
        start, stop, center = _extent(line, data.shape[-1], buffer)
        samples = forward_samples(grid, data[:, kz, ky, start:stop], line)
        offset = start - center
        if line.flags & flags.REVERSE:
            extent = readout_extent(line)
            offset = extent.before - extent.center
        grid.add(position, samples, offset, line)
        added.add(position)
    return frozenset(added)


def _is_image_line(headers: NDArray[np.void]) -> NDArray[np.bool_]:
    """Whether lines are image data: Gadgetron puts navigators and the like on the grid, too."""
    return np.asarray(headers["flags"] & flags.NOT_IMAGE == 0)


def _extent(
    header: ismrmrd.AcquisitionHeader, width: int, buffer: ReconBuffer
) -> tuple[int, int, int]:
    """Return first, end and central sample of a line in Gadgetron's `BucketToBufferGadget`."""
    samples = header.number_of_samples
    count = samples - header.discard_pre - header.discard_post
    center = readout_center(samples, header.center_sample)
    if samples == width and center == samples // 2:
        start = header.discard_pre
    else:
        start = max(0, buffer.sampling.sampling_limits[0].center - center)
    return start, min(width, start + count), start + center - header.discard_pre


def _add_calibration(
    bit: ReconBit,
    header: Header,
    calibration: CalibrationLines,
    images: Container[ImageKey] = (),
) -> None:
    """Add the calibration lines of each of the images."""
    buffer = bit.calibration
    if buffer is None or buffer.density is not None or not buffer.data.size:
        return
    _check(buffer)
    for index in np.ndindex(buffer.data.shape[:3]):
        lines = np.argwhere(buffer.headers[index]["number_of_samples"] > 0)
        if not len(lines):
            continue
        first = header_at(buffer.headers[index], (int(lines[0][0]), int(lines[0][1])))
        encoding = header.encoding(first.encoding_space_ref)
        if encoding.interleaved:
            continue  # all lines of its images calibrate
        # A gadget may have combined the coils.
        first.active_channels = buffer.data.shape[3]
        _add_lines(buffer, index, calibration.grid(ImageKey.of(first), encoding, first, images))

"""Gadgetron's own k-space buffers, which come without a sampling mask.

A line was measured where its header is not blank, within the samples that the header declares
valid; where a gadget has filled in all the headers, lines of zeros count as not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

import ismrmrd
import numpy as np

from gadget.errors import DataError, FirstError
from gadget.mrd.buffers.buffer import Buffer, central_header, make_buffer
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.grid import LineGrid, forward_samples
from gadget.mrd.buffers.recon_data import ReconBit, ReconBuffer
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import header_at
from gadget.mrd.readouts.image_key import ImageKey
from gadget.mrd.readouts.placement import grid_width, line_position, readout_center, readout_extent
from gadget.mrd.xml_header.encoding_warnings import encoding_warnings
from gadget.mrd.xml_header.header import Header


def buffers_of_lines(
    bit: ReconBit, header: Header, calibration: CalibrationLines, warn: Callable[[str], None]
) -> Iterator[Buffer]:
    """Yield a buffer for every image of a bit, averages added up.

    Raises
    ------
    DataError
        Arrays do not fit together, or hold no image line; after the buffers of all other images.
    """
    grids: dict[ImageKey, LineGrid] = {}
    errors = FirstError()
    image_lines = False
    for index in np.ndindex(bit.data.data.shape[:3]):
        lines = bit.data.headers[index]
        if flags.image_data(lines).any():
            image_lines = True
            with errors.kept():
                _add_image_lines(bit, index, header, grids)
    add_calibration_lines(bit, header, calibration, grids)
    if not image_lines:
        raise DataError(
            "The headers of a k-space buffer are all blank, or those of navigators and the like, "
            "so no line of it was measured. Check what comes before this node."
        )
    for key, grid in grids.items():
        for warning in encoding_warnings(grid.encoding, grid.width):
            warn(warning)
        calibration.include(key, grid)
    for key, grid in grids.items():
        with errors.kept():
            yield make_buffer(grid, calibration.best_match(key, grid))
    errors.check()


def add_calibration_lines(
    bit: ReconBit,
    header: Header,
    calibration: CalibrationLines,
    images: Container[ImageKey] = (),
) -> None:
    """Add the calibration lines of a bit; those of images that are at hand are kept for each."""
    buffer = bit.calibration
    if buffer is None or buffer.density is not None or not buffer.data.size:
        return
    buffer.check_shapes()
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
        lines.check_shapes()
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
    # Gadgetron puts navigators and the like on the grid, too.
    measured &= flags.image_data(headers)
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

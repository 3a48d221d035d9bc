"""Conversion between k-space buffers and ReconData, of `gather` or of Gadgetron's own gadgets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from gadget.errors import FirstError
from gadget.mrd.buffers.buffer import Buffer, central_header, grid_field_of_view
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.gadgetron_buffers import add_calibration_lines, buffers_of_lines
from gadget.mrd.buffers.recon_data import (
    ReconBit,
    ReconBuffer,
    ReconData,
    SamplingDescription,
)
from gadget.mrd.readouts.acquisition import HEADER_DTYPE
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
    recon_data: ReconData,
    header: Header,
    calibration: CalibrationLines | None = None,
    warn: Callable[[str], None] = log.warning,
) -> Iterator[Buffer]:
    """Yield the buffers of a message: one for every image, averages added up.

    The mask is the density where `gather` wrote the message; Gadgetron writes none.

    Parameters
    ----------
    recon_data
        The message.
    header
        Header of the scan.
    calibration
        Calibration lines of the messages before, to which those of this one are added: many scans
        measure them once, before the first repetition.
    warn
        Called with every warning; by default it is logged.

    Raises
    ------
    DataError
        The arrays do not fit together, or hold no image line; after the buffers of all the others.
    """
    calibration = calibration or CalibrationLines(warn)
    errors = FirstError()
    # Calibration lines of an encoding space of their own come behind the image they are for.
    for bit in sorted(recon_data.bits, key=lambda bit: bit.data.data.size > 0):
        with errors.kept():
            if bit.data.data.size:
                yield from _unpack(bit, header, calibration, warn)
            else:
                add_calibration_lines(bit, header, calibration)
    errors.check()


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


def _unpack(
    bit: ReconBit, header: Header, calibration: CalibrationLines, warn: Callable[[str], None]
) -> Iterator[Buffer]:
    bit.data.check_shapes()
    density = bit.data.density
    if density is None:
        yield from buffers_of_lines(bit, header, calibration, warn)
        return
    for index in np.ndindex(bit.data.data.shape[:3]):
        yield _unpack_gathered(bit, density[index], index, header)


def _unpack_gathered(
    bit: ReconBit, weight: NDArray[np.float32], index: tuple[int, ...], header: Header
) -> Buffer:
    """Unpack what `to_recon_data` packed."""
    headers = bit.data.headers[index]
    reference = central_header(headers)
    encoding = header.encoding(reference.encoding_space_ref)
    kspace = KSpace(bit.data.data[index], weight, _unpack_calibration(bit, index))
    readout = kspace.data.shape[-1]
    return Buffer(kspace, reference, encoding, grid_field_of_view(encoding, readout), headers)


def _unpack_calibration(bit: ReconBit, index: tuple[int, ...]) -> KSpace | None:
    lines = bit.calibration
    if lines is None or lines.density is None:
        return None
    lines.check_shapes()
    return KSpace(lines.data[index], lines.density[index])

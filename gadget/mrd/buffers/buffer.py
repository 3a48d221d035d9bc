"""A k-space buffer together with the headers that its images inherit from."""

from __future__ import annotations

from dataclasses import dataclass

import ismrmrd
import numpy as np
from numpy.typing import NDArray

from gadget.errors import DataError
from gadget.mrd.buffers.grid import LineGrid
from gadget.mrd.readouts import flags
from gadget.mrd.readouts.acquisition import header_at
from gadget.mrd.xml_header.header import Encoding
from gadget.mri.kspace import KSpace


@dataclass(frozen=True)
class Buffer:
    """K-space of one image, where it lies in the patient, and when it was measured."""

    kspace: KSpace
    reference: ismrmrd.AcquisitionHeader
    """Header of the measured image line nearest to the centre of k-space."""
    encoding: Encoding
    field_of_view: tuple[float, float, float]
    """Of the k-space grid, x, y, z [mm]."""
    headers: NDArray[np.void]
    """Headers `[kz, ky]` of the measured lines, blank where there is none."""


def make_buffer(grid: LineGrid, calibration: KSpace | None = None) -> Buffer:
    """Complete a grid of readouts; it is empty afterwards.

    Raises
    ------
    DataError
        The grid holds no image line.
    """
    data, weight, headers = grid.to_dense()
    return Buffer(
        kspace=KSpace(data, weight, calibration),
        reference=central_header(headers),
        encoding=grid.encoding,
        field_of_view=grid_field_of_view(grid.encoding, data.shape[-1]),
        headers=headers,
    )


def grid_field_of_view(encoding: Encoding, readout: int) -> tuple[float, float, float]:
    """Return the field of view [mm] of a grid with that many samples along the readout."""
    x, y, z = encoding.encoded.field_of_view_mm
    return x * readout / encoding.encoded.matrix[0], y, z


def central_header(headers: NDArray[np.void]) -> ismrmrd.AcquisitionHeader:
    """Return the header of the image line nearest to the centre of `[kz, ky]`.

    Raises
    ------
    DataError
        There is no image line.
    """
    nz, ny = headers.shape
    image = flags.image_data(headers) & ~flags.calibration_only(headers["flags"])
    if not image.any():
        raise DataError(
            "A buffer holds no image line, only calibration lines or nothing at all. "
            "Check the flags of the readouts."
        )
    kz, ky = np.ogrid[:nz, :ny]
    distance = (kz - nz // 2) ** 2 + (ky - ny // 2) ** 2
    nearest = np.argmin(np.where(image, distance, np.iinfo(np.int64).max))
    return header_at(headers, tuple(int(i) for i in np.unravel_index(nearest, headers.shape)))

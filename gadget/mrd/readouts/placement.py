"""Position of readouts on the encoded k-space grid."""

from __future__ import annotations

from typing import NamedTuple

import ismrmrd

from gadget.errors import DataError
from gadget.mrd.readouts import flags
from gadget.mrd.xml_header.header import Encoding
from gadget.mrd.xml_header.limits import Limit

MAX_DISCARDED = 0.25
"""Largest share of discarded samples beside a whole readout: more, and it is asymmetric."""


def line_position(encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> tuple[int, int] | None:
    """Return the position (kz, ky) of a line on the encoded grid.

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
    ky = _grid_index(limits.get("kspace_encoding_step_1"), idx.kspace_encode_step_1, ny)
    if nz == 1 and idx.kspace_encode_step_2 == idx.slice:
        kz = 0  # some converters number the slices of a 2D scan in both counters
    else:
        kz = _grid_index(limits.get("kspace_encoding_step_2"), idx.kspace_encode_step_2, nz)
    if 0 <= ky < ny and 0 <= kz < nz:
        return kz, ky
    if _is_within_limits(
        limits.get("kspace_encoding_step_1"), idx.kspace_encode_step_1, ky, ny
    ) and (
        _is_within_limits(limits.get("kspace_encoding_step_2"), idx.kspace_encode_step_2, kz, nz)
    ):
        return None
    raise DataError(
        f"Readout {header.scan_counter} (kspace_encode_step_1 {idx.kspace_encode_step_1}, "
        f"kspace_encode_step_2 {idx.kspace_encode_step_2}) would lie at ky {ky}, kz {kz}, outside "
        f"the encoded matrix of {ny} x {nz}. Check encodingLimits and matrixSize in the header."
    )


def _grid_index(limit: Limit | None, index: int, size: int) -> int:
    # Converters write any centre for the partitions of a 2D scan; Gadgetron ignores it too.
    if limit is None or size == 1:
        return 0 if size == 1 and limit is not None and index == limit.center else index
    return index - limit.center + size // 2


def _is_within_limits(limit: Limit | None, index: int, position: int, size: int) -> bool:
    if 0 <= position < size:
        return True
    return (
        limit is not None
        # What would be beyond a single line is another one, such as of another slice.
        and size > 1
        and limit.count > size
        and limit.minimum <= index <= limit.maximum
    )


def readout_center(samples: int, center: int) -> int:
    """Return the sample at the centre of k-space; 0 in the header means the middle one."""
    return center if center or samples == 1 else samples // 2


def readout_width(encoding: Encoding, samples: int, center: int) -> int:
    """Return the number of kx samples of the grid that a readout belongs to.

    It is the encoded matrix, or the part of it that is left when an earlier step (Gadgetron's
    `RemoveROOversamplingGadget`) has removed the oversampling that the header still declares.

    Raises
    ------
    DataError
        The readout fits neither.
    """
    full, cropped = encoding.encoded.matrix[0], encoding.recon_readout
    # Gadgetron rounds down, both the length and the centre.
    for width in (cropped, encoding.cropped_readout):
        if width < full and _is_whole(samples, center, width):
            return width
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


def _is_whole(samples: int, center: int, width: int) -> bool:
    """Whether a readout fills a grid, with the centre of k-space in its middle or beside it."""
    return samples == width and abs(width // 2 - center) <= 1


class Extent(NamedTuple):
    """Valid samples of a readout, in forward order."""

    samples: int
    before: int
    """Samples to be discarded at the beginning."""
    after: int
    """Samples to be discarded at the end."""
    center: int
    """Sample at the centre of k-space."""


def readout_extent(header: ismrmrd.AcquisitionHeader) -> Extent:
    """Return the valid samples of a readout."""
    samples = header.number_of_samples
    center = readout_center(samples, header.center_sample)
    before, after = header.discard_pre, header.discard_post
    if not header.flags & flags.REVERSE:
        return Extent(samples, before, after, center)
    center = center if center == samples // 2 else samples - 1 - center
    return Extent(samples, after, before, center)


def grid_width(encoding: Encoding, header: ismrmrd.AcquisitionHeader) -> int:
    """Return the number of kx samples of a readout's grid, see `readout_width`.

    More samples than the grid has are allowed if the surplus is to be discarded, also where the
    oversampling of all of them has been removed.
    """
    samples, before, after, center = readout_extent(header)
    valid, middle = samples - before - after, center - before
    few = 0 < before + after < MAX_DISCARDED * valid
    if few and _is_whole(valid, middle, encoding.recon_readout):
        return valid
    try:
        return readout_width(encoding, samples, center)
    except DataError:
        if not before + after:
            raise
    return readout_width(encoding, valid, middle)

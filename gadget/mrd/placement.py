"""Where readouts lie on the encoded grid."""

from __future__ import annotations

from typing import NamedTuple

import ismrmrd

from gadget.errors import DataError
from gadget.mrd import flags
from gadget.mrd.header import Encoding, Limit

FEW = 0.25
"""Samples to be discarded beside valid ones: more are those of a readout that covers little."""


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
    # Gadgetron rounds down, both the length and the centre.
    for whole in (cropped, encoding.cropped_readout):
        if samples == whole < full and abs(whole // 2 - center) <= 1:
            return whole
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

    More samples than the grid has fit if those are to be discarded that are too many, also where
    the oversampling of all of them has been removed.
    """
    samples, before, after, center = readout_extent(header)
    valid, middle = samples - before - after, center - before
    few = 0 < before + after < FEW * valid
    if few and valid == encoding.recon_readout and abs(valid // 2 - middle) <= 1:
        return valid
    try:
        return readout_width(encoding, samples, center)
    except DataError:
        if not before + after:
            raise
    return readout_width(encoding, valid, middle)

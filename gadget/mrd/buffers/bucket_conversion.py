"""Gadgetron's buckets to k-space buffers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from gadget.mrd.buffers.buffer import Buffer
from gadget.mrd.buffers.calibration_lines import CalibrationLines
from gadget.mrd.buffers.gather import Gatherer
from gadget.mrd.buffers.recon_data import AcquisitionBucket
from gadget.mrd.readouts import flags
from gadget.mrd.xml_header.header import Header

log = logging.getLogger(__name__)


def from_bucket(
    bucket: AcquisitionBucket,
    header: Header,
    calibration: CalibrationLines | None = None,
    warn: Callable[[str], None] = log.warning,
) -> Iterator[Buffer]:
    """Yield the buffers of a bucket, which is complete in itself but for calibration lines.

    Parameters
    ----------
    bucket
        The message.
    header
        Header of the scan.
    calibration
        Calibration lines of the buckets before, to which those of this one are added.
    warn
        Called with every warning; by default it is logged.

    Raises
    ------
    DataError
        As `Gatherer.drain`.
    """
    gatherer = Gatherer(header, warn, calibration=calibration)
    # A bucket lists calibration lines that are image lines too on both sides.
    lines = [one for one in bucket.calibration if flags.calibration_only(one.flags)]
    # The images come first: lines of one's own repetition are kept for each.
    for acquisition in [*bucket.data, *lines]:
        gatherer.accumulate(acquisition)
    yield from gatherer.drain()

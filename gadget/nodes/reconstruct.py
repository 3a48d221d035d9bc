"""K-space buffers in, coil-combined complex images out.

Buffers come as ReconData from `gather` or from Gadgetron's BucketToBufferGadget, as buckets from
its AcquisitionAccumulateTriggerGadget, or as plain acquisitions, which are gathered here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from gadget.errors import DataError, StreamError
from gadget.stream.node import Session, node
from gadget.stream.wire.messages import MessageId

if TYPE_CHECKING:
    from gadget.mrd.buffer import Buffer

ACCEPTED = (MessageId.ACQUISITION, MessageId.RECON_DATA, MessageId.BUCKET)


@node("gadget.nodes.settings:ReconstructSettings", accepts=ACCEPTED)
def reconstruct(session: Session) -> None:
    """Reconstruct every buffer with the method that the settings name."""
    from gadget.mrd.results import ImageMaker

    maker = ImageMaker(session.header, session.settings.image_series)
    results = session.reconstruct(session.settings.sampler(), _buffers(session))
    with closing(results):
        for number, (buffer, result) in enumerate(results, start=1):
            level = logging.INFO if result.fallback is None else logging.WARNING
            session.log.log(level, "image %d: %s", number, result.summary)
            for image in maker.images(buffer, result):
                session.send(image)


def _buffers(session: Session) -> Iterator[Buffer]:
    from gadget.mrd.calibration_lines import CalibrationLines
    from gadget.mrd.gather import Gatherer, from_bucket
    from gadget.mrd.recon_data import AcquisitionBucket, ReconData
    from gadget.mrd.recon_data_conversion import from_recon_data

    gatherer = None
    calibration = CalibrationLines(session.log.warning)
    first_error: DataError | None = None
    received = False
    try:
        for item in session:
            received = True
            try:
                if isinstance(item, ReconData):
                    yield from from_recon_data(item, session.header, calibration)
                elif isinstance(item, AcquisitionBucket):
                    yield from from_bucket(item, session.header, calibration)
                else:
                    gatherer = gatherer or Gatherer(session.header)
                    yield from gatherer.add(item)
            except DataError as error:
                # The images of later items must not be lost with it.
                session.log.error("%s", error)
                first_error = first_error or error
    except StreamError:
        yield from gatherer.flush() if gatherer is not None else ()
        raise
    if not received:
        raise DataError(
            "Neither a readout nor a buffer came, so there is nothing to reconstruct. Is this a "
            "noise or adjustment scan, or did what comes before this node fail?"
        )
    if gatherer is not None:
        yield from gatherer.finish()
    if first_error is not None:
        raise first_error

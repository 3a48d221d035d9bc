"""K-space buffers in, coil-combined images out.

Buffers come as ReconData from `gather` or from Gadgetron's BucketToBufferGadget, as buckets from
its AcquisitionAccumulateTriggerGadget, or as plain acquisitions, which are gathered here. With its
settings `prewhiten` and `output`, this node does the work of all four.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING

from gadget.errors import DataError, StreamError
from gadget.stream.node import node
from gadget.stream.session import Session
from gadget.stream.wire.messages import MessageId

if TYPE_CHECKING:
    from gadget.mrd.buffers.buffer import Buffer
    from gadget.mrd.readouts.block import ReadoutBlock
    from gadget.stream.wire.codec import Item

ACCEPTED = (MessageId.ACQUISITION, MessageId.RECON_DATA, MessageId.BUCKET)


@node("gadget.nodes.settings:ReconstructSettings", accepts=ACCEPTED)
def reconstruct(session: Session) -> None:
    """Reconstruct every buffer with the method that the settings name."""
    from gadget.mrd.images.finish import finish_image
    from gadget.mrd.images.pixels import PixelConverter
    from gadget.mrd.images.results import ImageMaker

    maker = ImageMaker(session.header, session.settings.image_series)
    output = session.settings.output
    converter = None if output is None else PixelConverter(output)
    results = session.reconstruct(session.settings.sampler(), _buffers(session))
    with closing(results):
        for buffer, result in results:
            for image in maker.images(buffer, result):
                session.send(image if converter is None else finish_image(image, converter))


def _buffers(session: Session) -> Iterator[Buffer]:
    from gadget.errors import FirstError
    from gadget.mrd.buffers.bucket_conversion import from_bucket
    from gadget.mrd.buffers.calibration_lines import CalibrationLines
    from gadget.mrd.buffers.gather import Gatherer
    from gadget.mrd.buffers.recon_data import AcquisitionBucket, ReconData
    from gadget.mrd.buffers.recon_data_conversion import from_recon_data

    gatherer = None
    warn = cache(session.log.warning)  # the same sentence once, not with every buffer
    calibration = CalibrationLines(warn)
    errors = FirstError()
    received = False
    try:
        for item in _whitened(session) if session.settings.prewhiten else session.in_blocks():
            received = True
            try:
                if isinstance(item, ReconData):
                    yield from from_recon_data(item, session.header, calibration, warn)
                elif isinstance(item, AcquisitionBucket):
                    yield from from_bucket(item, session.header, calibration, warn)
                else:
                    gatherer = gatherer or Gatherer(session.header, warn)
                    yield from gatherer.add(item)
            except DataError as error:
                # The images of later items must not be lost with it.
                session.log.error("%s", error)
                errors.keep(error)
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
    errors.check()


def _whitened(session: Session) -> Iterator[Item | ReadoutBlock]:
    """Yield the items of a session, its readouts whitened."""
    from gadget.mrd.buffers.recon_data import AcquisitionBucket, ReconData
    from gadget.mrd.readouts.prewhiten import Prewhitener, limit_blas_threads

    limit_blas_threads()
    warned = False
    for item in Prewhitener(session.header).whiten(session.in_blocks()):
        if not warned and isinstance(item, (AcquisitionBucket, ReconData)):
            session.log.warning("The setting 'prewhiten' is for readouts: buffers came.")
            warned = True
        yield item

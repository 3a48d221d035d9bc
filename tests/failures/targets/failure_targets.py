"""Nodes to be killed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from gadget.stream.node import node
from gadget.stream.session import Session

SETTINGS = "gadget.nodes.settings:GatherSettings"


def _images(session: Session):
    """Make a large image of each slice."""
    import numpy as np

    from gadget.mrd.buffers.gather import Gatherer
    from gadget.mrd.images.make_image import make_image

    gatherer = Gatherer(session.header)
    for acquisition in session:
        for buffer in gatherer.add(acquisition):
            number = buffer.reference.idx.slice
            yield make_image(
                np.full((1, 256, 256), number, np.float32),
                buffer.reference,
                buffer.encoding.recon,
                image_index=number,
                series_index=0,
                image_type=1,
            )


@node(SETTINGS)
def pictures(session: Session) -> None:
    """Send an image of each slice."""
    for image in _images(session):
        session.send(image)


@node(SETTINGS)
def stalls(session: Session) -> None:
    """Send an image of each slice; the first to run stays in the middle of the second slice."""
    pid = Path("pid")
    for number, image in enumerate(_images(session)):
        if number == 1 and not pid.exists():
            pid.write_text(str(os.getpid()))
            while True:
                time.sleep(0.1)
        session.send(image)

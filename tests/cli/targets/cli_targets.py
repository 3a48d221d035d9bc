"""Nodes that behave badly, for pipelines of the tests."""

from __future__ import annotations

import time
from pathlib import Path

from gadget.stream.node import node
from gadget.stream.session import Session

SETTINGS = "gadget.nodes.settings:GatherSettings"


def _images(session: Session):
    import ismrmrd
    import numpy as np

    from gadget.mrd.buffers.gather import Gatherer

    gatherer = Gatherer(session.header)
    buffers = [one for acquisition in session for one in gatherer.add(acquisition)]
    for number, buffer in enumerate(buffers, start=1):
        picture = np.ones((1, 1, 8, 8), np.float32)
        image = ismrmrd.Image.from_array(
            picture, transpose=False, image_index=number, image_series_index=0
        )
        head = image.getHead()
        head.slice = buffer.reference.idx.slice
        image.setHead(head)
        yield image


@node(SETTINGS)
def crashes(session: Session) -> None:
    """Make an image, then fail."""
    for image in _images(session):
        session.send(image)
        raise ValueError("the second slice is cursed")


@node(SETTINGS)
def loses(session: Session) -> None:
    """Make one image, whatever comes."""
    for image in list(_images(session))[:1]:
        session.send(image)


@node(SETTINGS)
def dawdles(session: Session) -> None:
    """Make an image, say so, and never come to an end."""
    for image in _images(session):
        session.send(image)
        session.progress("waiting", done=1, total=2)
        Path("dawdling").touch()
        while True:
            time.sleep(0.1)

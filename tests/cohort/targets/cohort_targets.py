"""Nodes for cohorts of the tests; quick ones, which need no torch."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from gadget.stream.node import node
from gadget.stream.session import Session
from gadget.stream.wire.messages import MessageId

SETTINGS = "gadget.nodes.settings:GatherSettings"
NOISE = 1 << 18
VARIABLES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")


@node(SETTINGS, accepts=(MessageId.ACQUISITION,))
def pictures(session: Session) -> None:
    """Make an image for each slice; it tells where it was made."""
    import ismrmrd
    import numpy as np

    slices = {one.idx.slice for one in session if not one.flags & NOISE}
    meta = ismrmrd.Meta({name: os.environ.get(name, "") for name in VARIABLES})
    for number in sorted(slices):
        pixels = np.full((1, 1, 8, 8), number + 1, np.float32)
        image = ismrmrd.Image.from_array(pixels, transpose=False, image_index=number + 1)
        head = image.getHead()
        head.slice = number
        head.field_of_view[:] = (8, 8, 1)
        head.read_dir[:], head.phase_dir[:], head.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
        image.setHead(head)
        image.attribute_string = meta.serialize()
        session.log.warning("slice %d is made", number)
        session.send(image)


@node(SETTINGS, accepts=(MessageId.ACQUISITION,))
def sticks_once(session: Session) -> None:
    """Whoever finds the file `stick` never comes to an end; all others make images."""
    with suppress(FileNotFoundError):
        Path("stick").rename("stuck")
        while True:
            time.sleep(0.1)
    pictures.function(session)


@node(SETTINGS, accepts=(MessageId.ACQUISITION,))
def kills(session: Session) -> None:
    """End the process that carries out the task as a crash of HDF5 would."""
    os.kill(os.getppid(), signal.SIGSEGV)
    time.sleep(60)

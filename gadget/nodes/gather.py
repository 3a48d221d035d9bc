"""Acquisitions in, ReconData out: one k-space buffer for each image."""

from __future__ import annotations

from gadget.stream.node import node
from gadget.stream.session import Session
from gadget.stream.wire.messages import MessageId


@node("gadget.nodes.settings:GatherSettings", accepts=(MessageId.ACQUISITION,))
def gather(session: Session) -> None:
    """Gather readouts until a buffer is complete, then send it on."""
    from gadget.mrd.buffers.gather import Gatherer
    from gadget.mrd.buffers.recon_data_conversion import to_recon_data

    for buffer in Gatherer(session.header).gather(session.in_blocks()):
        session.send(to_recon_data(buffer))

"""Acquisitions in, acquisitions out: receiver noise white and of variance 1 in every coil."""

from __future__ import annotations

from gadget.stream.node import node
from gadget.stream.session import Session
from gadget.stream.wire.messages import MessageId


@node("gadget.nodes.settings:PrewhitenSettings", accepts=(MessageId.ACQUISITION,))
def prewhiten(session: Session) -> None:
    """Whiten the readouts of images with the noise before them, or with that at their ends."""
    from gadget.mrd.readouts.prewhiten import Prewhitener, limit_blas_threads

    limit_blas_threads()
    for white in Prewhitener(session.header).whiten(session.in_blocks()):
        session.send(white)

"""Complex images in, magnitude, phase or integer images out."""

from __future__ import annotations

from gadget.stream.node import node
from gadget.stream.session import Session
from gadget.stream.wire.messages import MessageId


@node("gadget.nodes.settings:FinishSettings", accepts=(MessageId.IMAGE,))
def finish(session: Session) -> None:
    """Convert every complex image to the pixel type of the settings."""
    from gadget.mrd.images.finish import finish_image
    from gadget.mrd.images.pixels import PixelConverter

    converter = PixelConverter(session.settings.output)
    for image in session:
        session.send(finish_image(image, converter))

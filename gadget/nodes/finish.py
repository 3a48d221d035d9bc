"""Complex images in, images for people and archives out."""

from __future__ import annotations

from gadget.stream.node import Session, node
from gadget.stream.wire.messages import MessageId


@node("gadget.nodes.settings:FinishSettings", accepts=(MessageId.IMAGE,))
def finish(session: Session) -> None:
    """Convert every image to the pixels that the settings name; all else stays as it is."""
    from gadget.mrd.finish import finish_image
    from gadget.mrd.pixels import PixelConverter

    converter = PixelConverter(session.settings.output)
    for image in session:
        session.send(finish_image(image, converter))

"""What the header tells of a scan that an image of it may not show."""

from __future__ import annotations

from collections.abc import Iterator

from gadget.mrd.xml_header.header import Encoding


def encoding_warnings(encoding: Encoding, width: int) -> Iterator[str]:
    """Yield what the user of an image should know of its encoding.

    Parameters
    ----------
    encoding
        Of the image.
    width
        Number of samples of its readouts.
    """
    # Gadgetron's EPI gadgets leave the header as it is, and shorter readouts.
    if encoding.echo_planar and width == encoding.encoded.matrix[0]:
        yield (
            "By the header's trajectoryDescription, these are echo trains with samples on "
            "gradient ramps. Neither that nor their ghosts are corrected here: expect both in the "
            "images, or grid and correct the data before."
        )
    if encoding.partitions_as_slices:
        yield (
            "By the header this is a 3D scan, but its partitions are counted as slices, as GE's "
            "converter does. Each becomes an image of its own, which is right only where they were "
            "transformed before: or else count them in kspace_encode_step_2."
        )

"""Complex images to magnitude, phase or integer images with a display window."""

from __future__ import annotations

from typing import Any

import ismrmrd
import numpy as np

from gadget.mrd.images.make_image import PIXEL_TYPES
from gadget.mrd.images.meta import display_window, is_std_map, set_both, to_meta
from gadget.mrd.images.pixels import SERIES_OFFSET, PixelConverter


def finish_image(image: ismrmrd.Image, converter: PixelConverter) -> ismrmrd.Image:
    """Convert the pixels of a complex image, and update its header and metadata.

    Images of other types are returned unchanged. A standard deviation map has no phase: it always
    becomes a magnitude.
    """
    if image.data.dtype != np.complex64:
        return image
    series = int(image.image_series_index)
    is_std = is_std_map(image.meta)
    if is_std and converter.output in ("phase", "complex"):
        converter = PixelConverter("magnitude")
    pixels = converter.convert(image.data, series)
    meta: dict[str, Any] = {**image.meta, **pixels.meta}
    if pixels.image_type == ismrmrd.IMTYPE_MAGNITUDE:
        window = display_window(pixels.array)  # type: ignore[arg-type]
        if window is not None:
            set_both(meta, "WindowCenter", window[0])
            set_both(meta, "WindowWidth", window[1])
    if pixels.image_type == ismrmrd.IMTYPE_PHASE:
        set_both(meta, "DataRole", "Phase")
    header = image.getHead()
    header.data_type = PIXEL_TYPES[pixels.array.dtype]
    header.image_type = pixels.image_type
    header.image_series_index = series + (0 if is_std else SERIES_OFFSET[converter.output])
    result = ismrmrd.Image(header)
    result.data[:] = pixels.array
    result.meta = to_meta(meta)
    return result

"""From the grid that was measured to the grid that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mri.fourier import fftc, ifftc


def to_recon_space(
    image: NDArray[Any],
    field_of_view: tuple[float, float, float],
    recon_field_of_view: tuple[float, float, float],
    recon_matrix: tuple[int, int, int],
) -> NDArray[Any]:
    """Crop an image to the recon field of view and interpolate it to the recon matrix.

    The centre stays the centre (index ``n // 2``), also when the sizes differ by an odd number.
    Interpolation is zero-filling: nothing is added beyond the measured resolution.

    Parameters
    ----------
    image
        Image `[..., z, y, x]`.
    field_of_view, recon_field_of_view
        What `image` covers and what the result shall cover (x, y, z) [mm].
    recon_matrix
        Size of the result (x, y, z).
    """
    for axis in range(3):
        measured = image.shape[-1 - axis]
        ratio = recon_field_of_view[axis] / field_of_view[axis] if field_of_view[axis] > 0 else 1.0
        covered = max(1, round(measured * ratio)) if ratio > 0 else measured
        image = centred_resize(image, -1 - axis, covered)
        if recon_matrix[axis] != covered:
            scale = np.float32(np.sqrt(recon_matrix[axis] / covered))
            kspace = centred_resize(fftc(image, (-1 - axis,)), -1 - axis, recon_matrix[axis])
            image = ifftc(kspace, (-1 - axis,)) * scale
    return image


def centred_resize(array: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    """Crop or zero-pad `axis` to `size`, keeping index ``n // 2`` at the centre."""
    old = array.shape[axis]
    start = old // 2 - size // 2
    index: list[slice] = [slice(None)] * array.ndim
    index[axis] = slice(max(0, start), max(0, start) + min(old, size))
    kept = array[tuple(index)]
    if size <= old:
        return kept
    widths = [(0, 0)] * array.ndim
    widths[axis] = (-start, size - old + start)
    return np.pad(kept, widths)

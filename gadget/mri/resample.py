"""Crop and interpolate images from the encoded space to the recon space."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.sampling.centre import central

TOLERANCE = 0.1
"""Error of the field of view that cropping may leave [voxels]."""


def to_recon_space(
    image: NDArray[Any],
    field_of_view: tuple[float, float, float],
    recon_field_of_view: tuple[float, float, float],
    recon_matrix: tuple[int, int, int],
) -> NDArray[Any]:
    """Crop an image to the recon field of view and interpolate it to the recon matrix.

    The centre stays the centre (index ``n // 2``), also when the sizes differ by an odd number.
    Interpolation is zero-filling: nothing is added beyond the measured resolution. A field of view
    that is no whole number of measured voxels is interpolated, too: cropped to the next one, it
    would be stretched, and what lies at its edges would be shown elsewhere. The whole
    measured image is interpolated, before it is cropped: a cropped object would ring.

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
        wanted = measured * ratio if ratio > 0 else measured
        covered = max(1, round(wanted))
        whole_voxels = abs(wanted - covered) <= TOLERANCE
        if whole_voxels and recon_matrix[axis] == covered:
            image = centred_resize(image, -1 - axis, covered)
        elif whole_voxels and covered == measured:
            scale = np.float32(np.sqrt(recon_matrix[axis] / covered))
            kspace = centred_resize(fftc(image, (-1 - axis,)), -1 - axis, recon_matrix[axis])
            image = ifftc(kspace, (-1 - axis,)) * scale
        else:
            image = _interpolate(image, -1 - axis, wanted, recon_matrix[axis])
    return image


def _interpolate(image: NDArray[Any], axis: int, covered: float, size: int) -> NDArray[Any]:
    """Show the central `covered` voxels of `axis` in `size` voxels."""
    measured, step = image.shape[axis], covered / size
    position = (np.arange(size) - size // 2) * step
    k = np.arange(measured) - measured // 2
    phasors = np.exp(2j * np.pi / measured * np.outer(position, k)) / np.sqrt(measured)
    # Above the result's Nyquist frequency; of that one, it has one of two signs, as an FFT does.
    phasors[:, (k * step < -measured / 2) | (k * step >= measured / 2)] = 0
    # Beyond the measured field of view, the image would be repeated periodically.
    phasors[(position < -(measured // 2) - 1) | (position > measured - measured // 2)] = 0
    kspace = fftc(image, (axis,))
    result = np.tensordot(phasors.astype(kspace.dtype), kspace, (1, axis))
    return np.ascontiguousarray(np.moveaxis(result, 0, axis))


def centred_resize(array: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    """Crop or zero-pad `axis` to `size`, keeping index ``n // 2`` at the centre."""
    old = array.shape[axis]
    if size <= old:
        index: list[slice] = [slice(None)] * array.ndim
        index[axis] = central(old, size)
        return array[tuple(index)]
    before = size // 2 - old // 2
    widths = [(0, 0)] * array.ndim
    widths[axis] = (before, size - old - before)
    return np.pad(array, widths)

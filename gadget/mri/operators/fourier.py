"""Centred orthonormal Fourier transforms, right for even and odd sizes.

Index ``n // 2`` is the origin of both domains, as ISMRMRD has it.

Arrays are transformed by scipy: several times as fast as numpy in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import scipy.fft
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


@overload
def fftc(x: NDArray[Any], axes: Sequence[int] = (-2, -1)) -> NDArray[Any]: ...
@overload
def fftc(x: torch.Tensor, axes: Sequence[int] = (-2, -1)) -> torch.Tensor: ...
def fftc(x: Any, axes: Sequence[int] = (-2, -1)) -> Any:
    """Transform an image to k-space along `axes`."""
    if isinstance(x, np.ndarray):
        shifted = np.fft.ifftshift(x, axes)
        return np.fft.fftshift(scipy.fft.fftn(shifted, axes=axes, norm="ortho"), axes)
    from torch import fft

    shifted = fft.ifftshift(x, axes)
    return fft.fftshift(fft.fftn(shifted, dim=axes, norm="ortho"), axes)


@overload
def ifftc(x: NDArray[Any], axes: Sequence[int] = (-2, -1)) -> NDArray[Any]: ...
@overload
def ifftc(x: torch.Tensor, axes: Sequence[int] = (-2, -1)) -> torch.Tensor: ...
def ifftc(x: Any, axes: Sequence[int] = (-2, -1)) -> Any:
    """Transform k-space to an image along `axes`."""
    if isinstance(x, np.ndarray):
        shifted = np.fft.ifftshift(x, axes)
        return np.fft.fftshift(scipy.fft.ifftn(shifted, axes=axes, norm="ortho"), axes)
    from torch import fft

    shifted = fft.ifftshift(x, axes)
    return fft.fftshift(fft.ifftn(shifted, dim=axes, norm="ortho"), axes)

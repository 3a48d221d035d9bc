"""Coil compression: the signal of many coils in few virtual ones."""

from __future__ import annotations

import torch
from torch import Tensor


def compress(
    kspace: Tensor, energy: float, noise_std: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """Return the matrix `[virtual coil, coil]` that keeps `energy` of the signal.

    Buehrer et al., Array compression for MRI with large coil arrays, Magn Reson Med 2007,
    doi:10.1002/mrm.21237. White noise stays white: the rows are orthonormal. What noise adds to
    the energy of a virtual coil at most (Marchenko and Pastur, Mat Sb 1967) does not count: the
    noise of many coils would keep all of them. Where the signal of all is less than that, nothing
    tells them apart, and all are kept.

    Parameters
    ----------
    kspace
        K-space `[coil, ...]`, zero where not measured.
    energy
        Share of the signal energy to keep, in (0, 1].
    noise_std
        Standard deviation of complex noise in one sample of one average.
    weight
        How many averages each sample `[...]` is the mean of; 1 if not given.
    """
    samples = kspace.flatten(1)
    # Squares of very large or small samples are beyond single precision.
    scale = 1 / torch.view_as_real(samples).abs().max().clamp(min=1e-30)
    # With the root of the averages, noise is as strong everywhere.
    samples = samples * (scale if weight is None else scale * torch.sqrt(weight.flatten()))
    gram = (samples @ samples.mH).to(torch.complex128)
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    coils, points = len(samples), int(samples.any(dim=0).sum())
    noise = (noise_std * scale.double()) ** 2 * (points**0.5 + coils**0.5) ** 2
    signal = (values - noise).clamp(min=0)
    share = torch.cumsum(signal, 0) / signal.sum().clamp(min=1e-300)
    count = min(coils, int((share < energy).sum()) + 1)
    if signal.sum() < noise:
        count = coils
    rows = vectors[:, :count].mH
    # The phase of an eigenvector is open, and libraries differ: its largest entry is real here.
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return (rows * torch.exp(-1j * largest.angle())).to(kspace.dtype)

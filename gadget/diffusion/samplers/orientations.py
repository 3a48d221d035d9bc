"""Denoising in the eight orientations of a grid: flips and transposition."""

from __future__ import annotations

from torch import Tensor

from gadget.diffusion.prior import Prior


def denoise_in_orientation(prior: Prior, x: Tensor, sigma: float | Tensor, number: int) -> Tensor:
    """Denoise images `[batch, y, x]` in orientation `number` modulo 8.

    A network's errors differ between orientations and average out over the steps of a sampler,
    without more evaluations (Zhang et al., Plug-and-play image restoration
    with deep denoiser prior, IEEE TPAMI 2022, doi:10.1109/TPAMI.2021.3088914: periodical geometric
    self-ensemble). A prior for one orientation only is used in that one.
    """
    if not prior.any_orientation:
        return prior.denoise(x, sigma)
    mirrored = [axis for axis, bit in ((-1, 1), (-2, 2)) if number & bit]
    transposed = bool(number & 4)
    oriented = x.flip(mirrored)
    denoised = prior.denoise(oriented.mT.contiguous() if transposed else oriented, sigma)
    return (denoised.mT if transposed else denoised).flip(mirrored)

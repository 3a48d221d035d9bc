"""The eight ways to turn and mirror an image on its grid."""

from __future__ import annotations

from torch import Tensor

from gadget.diffusion.prior import Prior


def denoise_turned(prior: Prior, x: Tensor, sigma: float | Tensor, number: int) -> Tensor:
    """Denoise images `[batch, y, x]` in the orientation of that number, counted round and round.

    What a network does wrong in one orientation it does not in another: over the steps of a
    sampler that evens out, without more evaluations (Zhang et al., Plug-and-play image restoration
    with deep denoiser prior, IEEE TPAMI 2022, doi:10.1109/TPAMI.2021.3088914: periodical geometric
    self-ensemble). A prior of upright images sees upright ones.
    """
    if not prior.any_orientation:
        return prior.denoise(x, sigma)
    mirrored = [axis for axis, bit in ((-1, 1), (-2, 2)) if number & bit]
    transposed = bool(number & 4)
    turned = x.flip(mirrored)
    denoised = prior.denoise(turned.mT.contiguous() if transposed else turned, sigma)
    return (denoised.mT if transposed else denoised).flip(mirrored)

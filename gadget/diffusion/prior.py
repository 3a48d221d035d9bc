"""The prior: a denoiser of complex images.

A variance-exploding diffusion adds complex Gaussian noise of standard deviation `sigma` to the real
and to the imaginary part. Everything that a sampler needs is the posterior mean
``denoise(x, sigma) = E[clean image | x]``; the score follows by Tweedie's formula as
``(denoise(x, sigma) - x) / sigma^2``.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gadget.diffusion.devices import exact_float32
from gadget.mri.operators.cuda_graphs import GraphedFunction

log = logging.getLogger(__name__)

UNLIMITED = 2**31
"""Batch size until the device's memory turns out to be too small."""


class Prior(Protocol):
    """Interface of a prior. Images are scaled so that bright tissue is near 1."""

    name: str
    sha256: str
    sigma_min: float
    sigma_max: float
    any_orientation: bool
    """Whether the prior was trained on rotated and mirrored images, too."""

    @property
    def device(self) -> torch.device:
        """Where `denoise` computes and expects its input."""
        ...

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the posterior mean `[batch, y, x]` complex64 of `x`, of any size.

        `sigma` is the standard deviation of the noise in the real and in the imaginary part: one
        for all images, or `[batch]`.
        """
        ...


class NetworkPrior:
    """A prior made of a denoising network on one or two real channels.

    Parameters
    ----------
    denoiser
        Maps `[batch, channels, y, x]` and sigma `[batch]` to the clean image.
    channels
        2: the network sees the real and the imaginary part at once. 1: it knows real images, and
        the two parts go through it in one batch (Chung and Ye 2022, section 3.3).
    size_multiple
        What both image sizes are padded to a multiple of.
    any_orientation
        Whether the network was trained on rotated and mirrored images, too.
    half_precision
        Convolve in bfloat16: twice as fast where the device has instructions for it.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        *,
        name: str,
        sha256: str,
        sigma_min: float,
        sigma_max: float,
        channels: int,
        size_multiple: int,
        any_orientation: bool,
        half_precision: bool = False,
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.any_orientation = any_orientation
        self._denoiser = denoiser.eval().requires_grad_(False)
        # The layout that convolutions are fastest in, on CPU and GPU alike.
        self._denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batch = UNLIMITED
        # No method: that would keep the prior in memory until a garbage collection.
        self._evaluate = GraphedFunction(
            partial(_evaluate, self._denoiser, channels, size_multiple, half_precision)
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._denoiser.parameters()).device

    @torch.inference_mode()
    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the posterior mean of `x` `[batch, y, x]` complex64."""
        levels = torch.as_tensor(sigma, dtype=torch.float32, device=x.device).expand(len(x))
        while True:
            try:
                parts = zip(
                    torch.split(x, self._batch), torch.split(levels, self._batch), strict=True
                )
                return torch.cat([self._evaluate(part, level) for part, level in parts])
            except torch.OutOfMemoryError:
                largest = min(self._batch, len(x))
                if largest == 1:
                    # Something else fills the memory, and may go again.
                    self._batch = UNLIMITED
                    raise
                self._batch = largest // 2
                log.warning(
                    "%d images at once do not fit into the memory of %s: %d from now on",
                    largest,
                    self.device,
                    self._batch,
                )


def _evaluate(
    denoiser: nn.Module,
    channels: int,
    multiple: int,
    half_precision: bool,
    x: Tensor,
    level: Tensor,
) -> Tensor:
    """Denoise images `[batch, y, x]` of `level` `[batch]`."""
    height, width = x.shape[-2:]
    parts = torch.view_as_real(x).movedim(-1, 1)
    images = parts.reshape(-1, channels, height, width)
    # Zeros, not a mirror image: outside the field of view there is nothing.
    padded = F.pad(images, (0, -width % multiple, 0, -height % multiple))
    level = level.repeat_interleave(len(padded) // len(x))
    half = torch.autocast(x.device.type, torch.bfloat16, enabled=half_precision)
    with exact_float32, half:
        clean = denoiser(padded.to(memory_format=torch.channels_last), level)
    clean = clean[..., :height, :width].reshape(parts.shape)
    return torch.view_as_complex(clean.movedim(1, -1).contiguous())

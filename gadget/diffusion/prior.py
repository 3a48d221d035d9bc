"""The prior: a denoiser of complex images.

A variance-exploding diffusion adds complex Gaussian noise of standard deviation `sigma` to the real
and to the imaginary part. Everything that a sampler needs is the posterior mean
``denoise(x, sigma) = E[clean image | x]``; the score follows by Tweedie's formula as
``(denoise(x, sigma) - x) / sigma^2``.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prior(Protocol):
    """What a sampler asks of a prior. Images are scaled so that their bright parts are near 1."""

    name: str
    sha256: str
    sigma_min: float
    sigma_max: float

    @property
    def device(self) -> torch.device:
        """Where `denoise` computes and expects its input."""
        ...

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return the posterior mean `[batch, ky, kx]` complex64 of `x`, of any size.

        `sigma` is the standard deviation of the noise in the real and in the imaginary part.
        """
        ...


class PreconditionedDenoiser(nn.Module):
    """A network with its input and output scaled to unit variance at every noise level.

    Karras et al., Elucidating the design space of diffusion-based generative models, 2022, table 1.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise `[batch, 2, ky, kx]` with `sigma` `[batch]`."""
        variance = self.sigma_data**2 + sigma[:, None, None, None] ** 2
        c_skip = self.sigma_data**2 / variance
        c_out = sigma[:, None, None, None] * self.sigma_data / variance.sqrt()
        residual = self.network(x / variance.sqrt(), sigma.log())
        return c_skip * x + c_out * residual.float()


class TwoChannelPrior:
    """A prior whose network sees the real and imaginary part at once."""

    def __init__(
        self,
        denoiser: PreconditionedDenoiser,
        *,
        name: str,
        sha256: str,
        sigma_min: float,
        sigma_max: float,
        size_multiple: int,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self._denoiser = denoiser.eval().requires_grad_(False)
        # The layout that convolutions are fastest in, on CPU and GPU alike.
        self._denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._multiple = size_multiple
        self._autocast = autocast

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._denoiser.parameters()).device

    @torch.inference_mode()
    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """Return the posterior mean of `x` `[batch, ky, kx]` complex64."""
        height, width = x.shape[-2:]
        channels = torch.view_as_real(x).movedim(-1, 1)
        pad_y, pad_x = -height % self._multiple, -width % self._multiple
        # Zeros, not a mirror image: outside the field of view there is nothing.
        padded = F.pad(channels, (0, pad_x, 0, pad_y)).to(memory_format=torch.channels_last)
        level = torch.full((len(x),), sigma, device=x.device)
        with torch.autocast(x.device.type, self._autocast, enabled=self._autocast is not None):
            clean = self._denoiser(padded, level)
        return torch.view_as_complex(clean[..., :height, :width].movedim(1, -1).contiguous())

"""Networks as denoisers of images with noise of standard deviation sigma."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PreconditionedDenoiser(nn.Module):
    """A network with its input and output scaled to unit variance at every noise level.

    Karras et al., Elucidating the design space of diffusion-based generative models, 2022, table 1.
    """

    def __init__(self, network: nn.Module, sigma_data: float) -> None:
        super().__init__()
        self.network = network
        self.sigma_data = sigma_data

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise `[batch, 2, y, x]` with `sigma` `[batch]`."""
        variance = self.sigma_data**2 + sigma[:, None, None, None] ** 2
        c_skip = self.sigma_data**2 / variance
        c_out = sigma[:, None, None, None] * self.sigma_data / variance.sqrt()
        residual = self.network(x / variance.sqrt(), sigma.log())
        return c_skip * x + c_out * residual.float()


class ScoreDenoiser(nn.Module):
    """A network that gives the score of real images, as a denoiser.

    Tweedie's formula: ``E[clean | x] = x + sigma^2 score(x)``.

    Parameters
    ----------
    network
        Maps `[batch, 1, y, x]` and sigma `[batch]` to the score.
    input_scale
        Intensity in the network's images that is 1 in a sampler's.
    """

    def __init__(self, network: nn.Module, input_scale: float) -> None:
        super().__init__()
        self.network = network
        self.input_scale = input_scale

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise `[batch, 1, y, x]` with `sigma` `[batch]`."""
        network_sigma = sigma * self.input_scale
        score = self.network(x * self.input_scale, network_sigma).float()
        return x + network_sigma[:, None, None, None] ** 2 * score / self.input_scale


class NoiseDenoiser(nn.Module):
    """A network that predicts the noise of a variance-preserving diffusion, as a denoiser.

    Scaled by ``1 / sqrt(1 + sigma^2)``, an image with noise of standard deviation sigma is one of
    that diffusion; ``E[clean | x] = x - sigma noise``.

    Parameters
    ----------
    network
        Maps `[batch, channels, y, x]` and time steps `[batch]` to noise of unit variance.
    sigmas
        Noise level `[time step]` of the diffusion, rising.
    input_scale
        Intensity in the network's images that is 1 in a sampler's.
    """

    _log_sigmas: Tensor

    def __init__(self, network: nn.Module, sigmas: Tensor, input_scale: float) -> None:
        super().__init__()
        self.network = network
        self.input_scale = input_scale
        self.register_buffer("_log_sigmas", sigmas.log().float(), persistent=False)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise `[batch, channels, y, x]` with `sigma` `[batch]`."""
        network_sigma = sigma * self.input_scale
        signal = torch.rsqrt(1 + network_sigma**2)[:, None, None, None]
        noise = self.network(signal * self.input_scale * x, self._timestep(network_sigma))
        return x - sigma[:, None, None, None] * noise

    def _timestep(self, sigma: Tensor) -> Tensor:
        """Return the time steps of noise levels `[batch]`, interpolated."""
        levels, log_sigma = self._log_sigmas, sigma.log()
        after = torch.searchsorted(levels, log_sigma).clamp(1, len(levels) - 1)
        low, high = levels[after - 1], levels[after]
        return after - 1 + ((log_sigma - low) / (high - low)).clamp(0, 1)

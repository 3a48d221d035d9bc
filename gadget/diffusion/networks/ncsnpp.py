"""NCSN++, the network of the published score-MRI checkpoints, without compiled operations.

Song et al., Score-based generative modeling through stochastic differential equations, ICLR 2021,
appendix H; in the configuration of Chung and Ye 2022: Fourier features of ln(sigma), BigGAN
residual blocks with FIR resampling, residual input pyramid, output divided by sigma.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from gadget.diffusion.networks.biggan import BigGanUNet, Resampling

HALF = math.sqrt(0.5)
FIR = (1.0, 3.0, 3.0, 1.0)


class NCSNppConfig(BaseModel):
    """Architecture of an `NCSNpp`; stored in the model folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ncsnpp"] = "ncsnpp"
    stem: int = Field(128, ge=4, le=2**16)
    """Channels of the first convolution; also decides the length of the noise embedding."""
    widths: tuple[Annotated[int, Field(ge=1, le=2**16)], ...] = Field(
        (128, 256, 256, 256), min_length=1, max_length=12
    )
    """Channels at each resolution, finest first."""
    blocks: int = Field(4, ge=1, le=100)
    """Residual blocks at each resolution on the way down; one more on the way up."""
    attention: tuple[int, ...] = ()
    """Resolutions with attention, 0 the finest; the coarsest point of the network always has it."""

    @property
    def channels(self) -> int:
        """Real channels of an image."""
        return 1

    @property
    def size_multiple(self) -> int:
        """What both sizes of an image must be multiples of [pixels]."""
        return int(2 ** (len(self.widths) - 1))


class NCSNpp(BigGanUNet):
    """Score ``[batch, 1, y, x]`` of noisy real images in [0, 1] at noise levels sigma `[batch]`.

    Both image sizes must be multiples of `size_multiple`.
    """

    def __init__(self, config: NCSNppConfig) -> None:
        length = 4 * config.stem
        super().__init__(
            config.stem,
            config.widths,
            config.blocks,
            config.attention,
            "last",
            partial(ResidualBlock, length),
            Attention,
        )
        self.embedding = FourierEmbedding(config.stem, length)
        self.stem = nn.Conv2d(1, config.stem, 3, padding=1)
        self.pyramid = nn.ModuleList(
            PyramidConv(a, b) for a, b in pairwise((1, *config.widths[:-1]))
        )
        self.norm = _group_norm(config.widths[0])
        self.head = nn.Conv2d(config.widths[0], 1, 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        pyramid = 2 * x - 1

        def add_pyramid(level: int, h: Tensor) -> Tensor:
            nonlocal pyramid
            pyramid = HALF * (self.pyramid[level](pyramid) + h)
            return pyramid

        h = self.features(self.stem(pyramid), self.embedding(sigma.log()), add_pyramid)
        score: Tensor = self.head(F.silu(self.norm(h)))
        return score / sigma[:, None, None, None]


class FourierEmbedding(nn.Module):
    """Map ln(sigma) `[batch]` to features `[batch, length]` through fixed random frequencies."""

    frequencies: Tensor

    def __init__(self, count: int, length: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(count))
        self.first = nn.Linear(2 * count, length)
        self.second = nn.Linear(length, length)

    def forward(self, log_sigma: Tensor) -> Tensor:
        # In the authors' order: angles are large, and their rounding in float32 shows in the score.
        angle = log_sigma[:, None] * self.frequencies[None] * (2 * math.pi)
        features = torch.cat([angle.sin(), angle.cos()], dim=1)
        return F.silu(self.second(F.silu(self.first(features))))


class ResidualBlock(nn.Module):
    """BigGAN residual block; both of its branches are resampled where it changes resolution."""

    def __init__(
        self,
        embedding: int,
        channels_in: int,
        channels_out: int,
        resampling: Resampling = "none",
    ) -> None:
        super().__init__()
        self.resample = {"none": _identity, "up": fir_upsample, "down": fir_downsample}[resampling]
        self.norm_in = _group_norm(channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.shift = nn.Linear(embedding, channels_out)
        self.norm_out = _group_norm(channels_out)
        self.conv_out = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        straight = channels_in == channels_out and resampling == "none"
        self.skip = nn.Identity() if straight else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_in(self.resample(F.silu(self.norm_in(x))))
        h = h + self.shift(embedding)[:, :, None, None]
        h = self.conv_out(F.silu(self.norm_out(h)))
        return HALF * (self.skip(self.resample(x)) + h)


class Attention(nn.Module):
    """Self-attention over all pixels, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _group_norm(channels)
        self.query, self.key, self.value, self.out = (
            nn.Conv2d(channels, channels, 1) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        query, key, value = (layer(h).flatten(2).mT for layer in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return HALF * (x + self.out(mixed.mT.reshape(x.shape)))


class PyramidConv(nn.Module):
    """Smooth, then a strided 3 x 3 convolution: the input at the next coarser resolution."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        # One pixel more on each side than plain FIR smoothing, for the convolution's reach.
        return self.conv(_smooth(F.pad(x, (2, 2, 2, 2)), gain=1.0))


def fir_downsample(x: Tensor) -> Tensor:
    """Halve the resolution behind the FIR filter."""
    return _smooth(F.pad(x, (1, 1, 1, 1)), gain=1.0)[..., ::2, ::2]


def fir_upsample(x: Tensor) -> Tensor:
    """Double the resolution: zeros between the pixels, then the FIR filter."""
    batch, channels, height, width = x.shape
    sparse = x.new_zeros(batch, channels, 2 * height, 2 * width)
    sparse[..., ::2, ::2] = x
    return _smooth(F.pad(sparse, (2, 1, 2, 1)), gain=4.0)


def _smooth(x: Tensor, gain: float) -> Tensor:
    taps = torch.tensor(FIR, dtype=x.dtype, device=x.device)
    taps = taps * (math.sqrt(gain) / sum(FIR))
    channels = x.shape[1]
    down = taps[None, None, :, None].expand(channels, 1, -1, 1)
    across = taps[None, None, None, :].expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(x, down, groups=channels), across, groups=channels)


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, min(channels // 4, 32)), channels, eps=1e-6)


def _identity(x: Tensor) -> Tensor:
    return x

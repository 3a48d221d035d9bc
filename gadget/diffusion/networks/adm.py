"""ADM, the network of guided-diffusion and of the published DDS checkpoints.

Dhariwal and Nichol, Diffusion models beat GANs on image synthesis, NeurIPS 2021, appendix; in the
configuration of Chung et al., Decomposed diffusion sampler, ICLR 2024: BigGAN residual blocks that
resample, scale and shift by the time step, heads of 64 channels. It predicts the noise in images of
a variance-preserving diffusion with discrete time steps.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from gadget.diffusion.networks.biggan import BigGanUNet, Resampling

GROUPS = 32
"""Of all group normalisations."""
LONGEST_PERIOD = 10_000
"""Of the sines of a time step."""


class AdmConfig(BaseModel):
    """Architecture of an `Adm`, and its diffusion; stored in the model folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["adm"] = "adm"
    channels: Literal[1, 2] = 2
    """1: real images. 2: real and imaginary part."""
    outputs: Literal[1, 2, 4] = 4
    """As many as `channels`, or twice that, where it predicts the variance, too."""
    stem: int = Field(256, ge=GROUPS, le=2**16, multiple_of=GROUPS)
    """Channels of the first convolution; also decides the length of the time embedding."""
    widths: tuple[Annotated[int, Field(ge=GROUPS, le=2**16, multiple_of=GROUPS)], ...] = Field(
        (256, 256, 512, 512, 1024, 1024), min_length=1, max_length=12
    )
    """Channels at each resolution, finest first."""
    blocks: int = Field(1, ge=1, le=100)
    """Residual blocks at each resolution on the way down; one more on the way up."""
    attention: tuple[int, ...] = ()
    """Resolutions with attention, 0 the finest; the coarsest point of the network always has it."""
    head_channels: int = Field(64, ge=1)
    """Channels of an attention head."""
    timesteps: int = Field(1000, ge=2, le=10**6)
    """Time steps of the diffusion."""
    beta_start: float = Field(1e-4, gt=0, lt=1)
    """Variance of the noise of the first time step; it grows linearly."""
    beta_end: float = Field(0.02, gt=0, lt=1)
    """Variance of the noise of the last one."""

    @property
    def size_multiple(self) -> int:
        """What both sizes of an image must be multiples of [pixels]."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def sigmas(self) -> Tensor:
        """Noise levels `[time step]` of the diffusion, as those of a variance-exploding one."""
        betas = torch.linspace(
            self.beta_start, self.beta_end, self.timesteps, dtype=torch.float64, device="cpu"
        )
        signal = torch.cumprod(1 - betas, 0)
        return ((1 - signal) / signal).sqrt()

    @model_validator(mode="after")
    def _check_heads_and_outputs(self) -> AdmConfig:
        with_attention = {self.widths[-1]} | {
            self.widths[level] for level in self.attention if level < len(self.widths)
        }
        wrong = [width for width in with_attention if width % self.head_channels]
        if wrong:
            raise ValueError(
                f"{wrong[0]} channels cannot be shared by attention heads of "
                f"{self.head_channels} channels"
            )
        if self.outputs not in (self.channels, 2 * self.channels):
            raise ValueError(
                f"{self.outputs} outputs for {self.channels} channels; as many or twice as many "
                "were expected"
            )
        return self


class Adm(BigGanUNet):
    """Noise `[batch, channels, y, x]` in images of the diffusion at time steps `[batch]`.

    Both image sizes must be multiples of `size_multiple`. Time steps may lie between two.
    """

    def __init__(self, config: AdmConfig) -> None:
        length = 4 * config.stem
        super().__init__(
            config.stem,
            config.widths,
            config.blocks,
            config.attention,
            "each",
            partial(ResidualBlock, length),
            partial(Attention, config.head_channels),
        )
        self.channels = config.channels
        self.embedding = TimeEmbedding(config.stem, length)
        self.stem = nn.Conv2d(config.channels, config.stem, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, config.widths[0])
        self.head = nn.Conv2d(config.widths[0], config.outputs, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        h = self.features(self.stem(x), self.embedding(timestep))
        outputs: Tensor = self.head(F.silu(self.norm(h)))
        return outputs[:, : self.channels]


class TimeEmbedding(nn.Module):
    """Map time steps `[batch]` to features `[batch, length]`."""

    def __init__(self, count: int, length: int) -> None:
        super().__init__()
        self._count = count
        self.first = nn.Linear(count, length)
        self.second = nn.Linear(length, length)

    def forward(self, timestep: Tensor) -> Tensor:
        half = self._count // 2
        order = torch.arange(half, device=timestep.device, dtype=torch.float32) / half
        angle = timestep[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * order)
        features = torch.cat([angle.cos(), angle.sin()], dim=1)
        out: Tensor = self.second(F.silu(self.first(features)))
        return out


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
        self._resampling = resampling
        self.norm_in = nn.GroupNorm(GROUPS, channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * channels_out)
        self.norm_out = nn.GroupNorm(GROUPS, channels_out)
        self.conv_out = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = (
            nn.Identity()
            if channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv_in(self._resample(F.silu(self.norm_in(x))))
        scale, shift = self.modulation(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        h = self.conv_out(F.silu(self.norm_out(h) * (1 + scale) + shift))
        out: Tensor = self.skip(self._resample(x)) + h
        return out

    def _resample(self, x: Tensor) -> Tensor:
        if self._resampling == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2) if self._resampling == "up" else x


class Attention(nn.Module):
    """Self-attention over all pixels in several heads."""

    def __init__(self, head_channels: int, channels: int) -> None:
        super().__init__()
        self._head_channels = head_channels
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Heads first, then query, key and value of each.
        mixed = self.query_key_value(self.norm(x)).flatten(2)
        heads = mixed.unflatten(1, (-1, 3 * self._head_channels)).mT
        query, key, value = heads.chunk(3, dim=-1)
        found = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(found.mT.reshape(x.shape))
        return x + out

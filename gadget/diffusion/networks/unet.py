"""A convolutional U-Net on complex images, seen as two real channels.

No normalisation across space and no attention: what the network does at a pixel depends on the
pixel's surroundings only, so that training patches, whole slices and padded slices agree, and any
matrix size works. Pixels are regrouped (`patch` x `patch` to channels) before the first
convolution, which makes an evaluation on a laptop several times cheaper at the same depth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn


class UNetConfig(BaseModel):
    """Architecture of a `UNet`; stored in the model folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["unet"] = "unet"
    widths: tuple[Annotated[int, Field(ge=1, le=2**16)], ...] = Field(
        (64, 128, 192, 256), min_length=1, max_length=12
    )
    """Channels at each resolution, finest first."""
    blocks: int = Field(2, ge=1, le=100)
    """Residual blocks at each resolution, on the way down and on the way up."""
    patch: int = Field(2, ge=1, le=64)
    """Edge of the pixel groups that become channels."""
    embedding: int = Field(128, ge=8, le=2**16)
    """Length of the noise level's embedding."""

    @property
    def channels(self) -> int:
        """Real channels of an image: real and imaginary part."""
        return 2

    @property
    def size_multiple(self) -> int:
        """What both sizes of an image must be multiples of [pixels]."""
        return self.patch * int(2 ** (len(self.widths) - 1))


class NoiseEmbedding(nn.Module):
    """Map the logarithm of the noise level `[batch]` to features `[batch, length]`."""

    frequencies: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        # ln(sigma) spans about [-6, 2.5]: periods from 32 down to 1/2 resolve it evenly.
        # On the device `meta`, torch would load its compiler for them: a second, and a folder for
        # temporary files, which a full disk does not have.
        self.register_buffer(
            "frequencies",
            2 * math.pi * torch.logspace(-5, 1, 16, base=2.0, device="cpu"),
            persistent=False,
        )
        self.layers = nn.Sequential(nn.Linear(32, length), nn.SiLU(), nn.Linear(length, length))

    def forward(self, log_sigma: Tensor) -> Tensor:
        angle = log_sigma[:, None] * self.frequencies
        return F.silu(self.layers(torch.cat([angle.cos(), angle.sin()], dim=1)))


class ResidualBlock(nn.Module):
    """Two convolutions around a scale and shift that depend on the noise level."""

    def __init__(self, channels_in: int, channels_out: int, embedding: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * channels_out)
        self.conv_out = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = (
            nn.Conv2d(channels_in, channels_out, 1)
            if channels_in != channels_out
            else nn.Identity()
        )
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        # Blocks start as the identity: stable without normalisation.
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv_in(F.silu(x)) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.conv_out(F.silu(hidden))
        return out


class UNet(nn.Module):
    """Map `[batch, 2, y, x]` and ln(sigma) `[batch]` to `[batch, 2, y, x]`.

    Both image sizes must be multiples of `size_multiple`.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths, blocks = config.widths, config.blocks
        self.patch = config.patch
        channels = 2 * config.patch**2

        def level(channels_in: int, channels_out: int) -> nn.ModuleList:
            sizes: Sequence[int] = [channels_in] + [channels_out] * blocks
            return nn.ModuleList(ResidualBlock(a, b, config.embedding) for a, b in pairwise(sizes))

        self.embedding = NoiseEmbedding(config.embedding)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down = nn.ModuleList(level(w, w) for w in widths)
        self.downsample = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(level(2 * w, w) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, log_sigma: Tensor) -> Tensor:
        embedding = self.embedding(log_sigma)
        h = self.stem(F.pixel_unshuffle(x, self.patch))
        skips = []
        for i, level in enumerate(self.down):
            for block in level:  # type: ignore[attr-defined]
                h = block(h, embedding)
            if i < len(self.downsample):
                skips.append(h)
                h = self.downsample[i](h)
        for i in reversed(range(len(self.up))):
            h = torch.cat([self.upsample[i](h), skips.pop()], dim=1)
            for block in self.up[i]:  # type: ignore[attr-defined]
                h = block(h, embedding)
        return F.pixel_shuffle(self.head(F.silu(h)), self.patch)

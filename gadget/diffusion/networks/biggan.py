"""The skeleton that NCSN++ and ADM share: a U-Net whose residual blocks resample, as BigGAN's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Resampling = Literal["none", "up", "down"]


class ResidualFactory(Protocol):
    """Makes residual blocks, which are called with features and the embedding of the noise."""

    def __call__(
        self, channels_in: int, channels_out: int, resampling: Resampling = "none"
    ) -> nn.Module:
        """Return a block."""
        ...


class BigGanUNet(nn.Module):
    """Map features `[batch, stem, y, x]` to features of as many channels as the finest resolution.

    Parameters
    ----------
    stem
        Channels of the input.
    widths
        Channels at each resolution, finest first.
    blocks
        Residual blocks at each resolution on the way down; one more on the way up.
    attention
        Resolutions with attention, 0 the finest, behind every block on the way down. In the middle
        there always is one.
    attention_up
        Behind which blocks of these resolutions it is on the way up: behind each or the last.
    residual, attend
        Make a residual block, and attention for a number of channels.
    """

    def __init__(
        self,
        stem: int,
        widths: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        attention_up: Literal["each", "last"],
        residual: ResidualFactory,
        attend: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        channels = stem
        skips = [stem]
        self.down = nn.ModuleList()
        self.halve = nn.ModuleList()
        for i, width in enumerate(widths):
            level = nn.ModuleList()
            for _ in range(blocks):
                level.append(residual(channels, width))
                if i in attention:
                    level.append(attend(width))
                channels = width
                skips.append(channels)
            self.down.append(level)
            if i < len(widths) - 1:
                self.halve.append(residual(channels, channels, "down"))
                skips.append(channels)
        self.middle = nn.ModuleList(
            [residual(channels, channels), attend(channels), residual(channels, channels)]
        )
        self._is_attention = type(self.middle[1])
        self.up = nn.ModuleList()
        self.enlarge = nn.ModuleList()
        for i, width in reversed(list(enumerate(widths))):
            level = nn.ModuleList()
            for block in range(blocks + 1):
                level.append(residual(channels + skips.pop(), width))
                if i in attention and (attention_up == "each" or block == blocks):
                    level.append(attend(width))
                channels = width
            self.up.append(level)
            if i > 0:
                self.enlarge.append(residual(channels, channels, "up"))

    def features(
        self,
        h: Tensor,
        embedding: Tensor,
        halved: Callable[[int, Tensor], Tensor] = lambda _, h: h,
    ) -> Tensor:
        """Return the features of the finest resolution.

        Parameters
        ----------
        h
            Features of the image `[batch, stem, y, x]`.
        embedding
            Of the noise `[batch, length]`.
        halved
            Changes the features once a resolution, counted from 0, has been halved.
        """
        skips = [h]
        for i, level in enumerate(self.down):
            for layer in level:  # type: ignore[attr-defined]
                if isinstance(layer, self._is_attention):
                    skips[-1] = h = layer(h)
                else:
                    h = layer(h, embedding)
                    skips.append(h)
            if i < len(self.halve):
                h = halved(i, self.halve[i](h, embedding))
                skips.append(h)
        first, attention, second = self.middle
        h = second(attention(first(h, embedding)), embedding)
        for i, level in enumerate(self.up):
            for layer in level:  # type: ignore[attr-defined]
                if isinstance(layer, self._is_attention):
                    h = layer(h)
                else:
                    h = layer(torch.cat([h, skips.pop()], dim=1), embedding)
            if i < len(self.enlarge):
                h = self.enlarge[i](h, embedding)
        return h

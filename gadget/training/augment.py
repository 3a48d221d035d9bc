"""Complex training images from magnitude images.

The prior never sees measured phase. Real images have a phase that varies smoothly and a brightness
that follows the receive coil; both are drawn at random and laid over the magnitudes, together with
changes of resolution, contrast, scale and orientation, so that the prior does not depend on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gadget.training.images import Volume

SEED_STRIDE = 0x9E3779B1
"""Distance between the batches of one seed and those of the next, far more than any training."""

MAX_BRIGHTNESS = 4.0
"""Brighter pixels [image scale] are cut: a few vessels and artefacts must not rule the loss."""

OTHER_TISSUES = 0.25
"""Share of the patches whose order of brightness is changed."""


class PatchSampler:
    """Draw batches of complex patches; the same seed and step give the same batch."""

    def __init__(self, volumes: Sequence[Volume], patch: int, seed: int) -> None:
        self._volumes = volumes
        self._patch = patch
        self._seed = seed

    def batch(self, size: int, step: int) -> tuple[Tensor, torch.Generator]:
        """Return patches `[batch, 2, y, x]` (real, imaginary) and the step's random source."""
        # Torch's generator looks at the low 32 bits of a seed only.
        number = (self._seed * SEED_STRIDE + step) % 2**32
        generator = torch.Generator().manual_seed(number)
        magnitudes = torch.stack([self._magnitude(generator) for _ in range(size)])
        return _complex_patches(magnitudes, generator), generator

    def _magnitude(self, generator: torch.Generator) -> Tensor:
        # Volumes first: a volume with many slices must not outweigh the others.
        volume = self._volumes[_index(len(self._volumes), generator)]
        image = torch.from_numpy(volume[_index(len(volume), generator)])
        zoom = 1.0
        if _chance(0.5, generator):
            zoom = math.exp(float(_uniform(math.log(0.8), math.log(2.0), (), generator)))
        window = round(self._patch * zoom)
        crop = _random_crop(image, window, generator).float()
        if window != self._patch:
            crop = F.interpolate(
                crop[None, None], (self._patch,) * 2, mode="bicubic", antialias=True
            )[0, 0].clamp(min=0)
        if _chance(0.5, generator):
            crop = crop.T
        flips = [d for d in (0, 1) if _chance(0.5, generator)]
        return crop.flip(flips).contiguous()


def _complex_patches(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    batch, height, width = magnitude.shape
    ones = (batch, 1, 1)
    # Other contrasts: a random gamma, and a random scale for what scale estimation gets wrong.
    gamma = torch.where(
        _uniform(0, 1, ones, generator) < 0.5, _uniform(0.6, 1.6, ones, generator), 1.0
    )
    scale = torch.exp(_uniform(math.log(0.35), math.log(1.6), ones, generator))
    # Coil-like shading over up to a factor of ten, in about two thirds of the patches.
    shading = _smooth_field(batch, (height, width), 3, generator)
    shading = torch.exp(shading * _uniform(-0.4, 0.9, ones, generator).clamp(min=0))
    # Phase: smooth, with now and then a steep ramp as off-resonance and echo shifts cause it.
    phase = _smooth_field(batch, (height, width), 4, generator)
    phase = phase * _uniform(0, 2.0, ones, generator) + _uniform(-math.pi, math.pi, ones, generator)
    steep = torch.where(_uniform(0, 1, ones, generator) < 0.25, 0.25, 0.03)
    y = torch.arange(height)[:, None]
    x = torch.arange(width)[None, :]
    phase = phase + steep * (
        _uniform(-1, 1, ones, generator) * y + _uniform(-1, 1, ones, generator) * x
    )
    tissue = _other_tissues(magnitude.clamp(max=MAX_BRIGHTNESS), generator)
    image = tissue**gamma * scale * shading
    return torch.stack([image * phase.cos(), image * phase.sin()], dim=1)


def _other_tissues(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    """Now and then let brightness rise and fall, as between tissues of another sequence.

    What is dark between bright tissues can then be anything, while air stays dark.
    """
    ones = (len(magnitude), 1, 1)
    depth = _uniform(0.3, 0.7, ones, generator) * (_uniform(0, 1, ones, generator) < OTHER_TISSUES)
    waves = _uniform(0.2, 0.6, ones, generator)
    start = _uniform(0, 2 * math.pi, ones, generator)
    return magnitude * (1 + depth * torch.sin(2 * math.pi * waves * magnitude + start))


def _smooth_field(
    batch: int, size: tuple[int, int], knots: int, generator: torch.Generator
) -> Tensor:
    """Random field `[batch, y, x]` of about unit variance with `knots` bumps along an edge."""
    coarse = torch.randn(batch, 1, knots + 2, knots + 2, generator=generator)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=True)[:, 0]


def _random_crop(image: Tensor, window: int, generator: torch.Generator) -> Tensor:
    pad = [max(0, window - n) for n in image.shape]
    if any(pad):
        image = F.pad(image, (pad[1] // 2, pad[1] - pad[1] // 2, pad[0] // 2, pad[0] - pad[0] // 2))
    top, left = (_index(n - window + 1, generator) for n in image.shape)
    return image[top : top + window, left : left + window]


def _index(length: int, generator: torch.Generator) -> int:
    return int(torch.randint(length, (), generator=generator))


def _chance(probability: float, generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)

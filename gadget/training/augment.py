"""Complex training patches from magnitude images.

The prior never sees measured phase. Real images have a phase that varies smoothly, with steps
between tissues in gradient echoes, and a brightness that follows the receive coil; all are drawn at
random and applied to the magnitudes, together with changes of resolution, contrast, scale and
orientation, so that the prior does not depend on them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gadget.training.images import Volume

SEED_STRIDE = 0x9E3779B1
"""Distance between the patches of one seed and those of the next, far more than any training."""

MIN_BRIGHTNESS = 0.1
"""Patches without brighter pixels [image scale] are drawn again once, so that few are air alone."""
ZOOM_PROBABILITY = 0.5
"""Share of the patches whose resolution is changed, by a factor of 0.8 to 2."""
STRETCH_PROBABILITY = 0.3
"""Share of the patches whose pixels become rectangular, up to 4:3."""
ROTATION_PROBABILITY = 0.3
"""Share of the patches that are rotated by any angle; the others stay sharp."""
FLOOR_PROBABILITY = 0.5
"""Share of the patches that lose some of their noise floor."""
MAX_FLOOR = 0.1
"""Highest noise floor [image scale]; above it is tissue."""
FLOOR_BLOCK = 8
"""Edge of the blocks, the darkest of which estimates the noise floor [pixels]."""
MAX_BRIGHTNESS = 4.0
"""Brighter pixels [image scale] are clipped: vessels and artefacts must not dominate the loss."""
CONTRAST_PROBABILITY = 0.25
"""Share of the patches whose contrast between tissues is changed."""
STEP_PROBABILITY = 0.3
"""Share of the patches in which some tissue has another phase."""
NOISE_PROBABILITY = 0.03
"""Share of the patches with noise that belongs to the image."""
NOISE_RANGE = (0.05, 0.2)
"""Its standard deviation [image scale]."""


class PatchSampler:
    """Draw complex patches; the same seed and number give the same patch.

    Parameters
    ----------
    volumes
        Magnitude slices, bright tissue near 1.
    patch
        Edge of the patches [pixels].
    seed
        Seed of the patches.
    """

    def __init__(self, volumes: Sequence[Volume], patch: int, seed: int) -> None:
        self._volumes = volumes
        self._patch = patch
        self._seed = seed

    def draw(self, number: int) -> tuple[Tensor, torch.Generator]:
        """Return a patch `[2, y, x]` (real, imaginary) and the random source that it came from."""
        # Torch's generator looks at the low 32 bits of a seed only.
        number = (self._seed * SEED_STRIDE + number) % 2**32
        generator = torch.Generator().manual_seed(number)
        return _complex_patch(self._magnitude(generator), generator), generator

    def _magnitude(self, generator: torch.Generator) -> Tensor:
        # Volumes first: a volume with many slices must not outweigh the others.
        volume = self._volumes[_random_index(len(self._volumes), generator)]
        image = volume[_random_index(len(volume), generator)]
        zoom = stretch = 1.0
        angle = 0.0
        if _bernoulli(ZOOM_PROBABILITY, generator):
            zoom = math.exp(_uniform(math.log(0.8), math.log(2.0), generator))
        if _bernoulli(STRETCH_PROBABILITY, generator):
            stretch = math.exp(0.5 * math.log(4 / 3) * _uniform(-1, 1, generator))
        if _bernoulli(ROTATION_PROBABILITY, generator):
            angle = _uniform(-math.pi / 4, math.pi / 4, generator)
        # Before rotation, a patch needs the square around its corners.
        edge = math.ceil(self._patch * (math.cos(angle) + abs(math.sin(angle))))
        window = (round(edge * zoom * stretch), round(edge * zoom / stretch))
        crop = _random_crop(image, window, generator)
        if crop.max() < MIN_BRIGHTNESS:
            crop = _random_crop(image, window, generator)
        if window != (edge, edge):
            crop = F.interpolate(crop[None, None], (edge, edge), mode="bicubic", antialias=True)[
                0, 0
            ]
        if angle:
            crop = _rotated(crop, angle, self._patch)
        crop = crop.clamp(0, MAX_BRIGHTNESS)
        if _bernoulli(0.5, generator):
            crop = crop.T
        flips = [d for d in (0, 1) if _bernoulli(0.5, generator)]
        return crop.flip(flips)


def _rotated(image: Tensor, angle: float, size: int) -> Tensor:
    """Rotate a square image about its centre and crop it to `size` pixels."""
    part = size / len(image)
    cos, sin = part * math.cos(angle), part * math.sin(angle)
    matrix = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]])
    grid = F.affine_grid(matrix, [1, 1, size, size], align_corners=False)
    return F.grid_sample(
        image[None, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )[0, 0]


def _complex_patch(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    size = len(magnitude)
    # Other contrasts: a random gamma, and a random scale for errors of the scale estimation.
    gamma = _uniform(0.6, 1.6, generator) if _bernoulli(0.5, generator) else 1.0
    scale = math.exp(_uniform(math.log(0.35), math.log(1.6), generator))
    # Coil-like shading over up to a factor of ten, in about two thirds of the patches.
    shading = _smooth_field(size, 3, generator)
    shading = torch.exp(shading * max(0.0, _uniform(-0.4, 0.9, generator)))
    # Phase: smooth, with now and then a steep ramp as off-resonance and echo shifts cause it.
    phase = _smooth_field(size, 4, generator) * _uniform(0, 2.0, generator)
    steep = 0.25 if _bernoulli(0.25, generator) else 0.03
    pixel = torch.arange(size)
    ramp_y, ramp_x = (steep * _uniform(-1, 1, generator) * pixel for _ in "yx")
    phase = phase + _uniform(-math.pi, math.pi, generator) + ramp_y[:, None] + ramp_x
    tissue = _random_contrast(_lower_noise_floor(magnitude, generator), generator)
    image = tissue**gamma * scale * shading * torch.polar(torch.ones(()), phase)
    if _bernoulli(STEP_PROBABILITY, generator):
        image = image * _phase_steps(tissue, generator)
    patch = torch.stack([image.real, image.imag])
    if _bernoulli(NOISE_PROBABILITY, generator):
        patch = patch + _own_noise(size, generator)
    return patch


def _lower_noise_floor(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    """Randomly subtract a share of the noise floor, the mean square of the darkest block.

    Noise makes the air of magnitude images grey (Gudbjartsson and Patz 1995), and under a smooth
    phase that grey looks like tissue. A prior that has seen air of any darkness does not invent
    it. Noise is added to few patches only: what is in training images, a prior adds to others.
    """
    if not _bernoulli(FLOOR_PROBABILITY, generator):
        return magnitude
    square = magnitude.square()
    floor = float(F.avg_pool2d(square[None], FLOOR_BLOCK).min())
    floor = min(floor, MAX_FLOOR**2) * _uniform(0, 3, generator)
    return (square - floor).clamp(min=0).sqrt()


def _random_contrast(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    """Randomly apply an oscillating intensity map, as the contrast of another sequence.

    What is dark between bright tissues can then be anything, while air stays dark.
    """
    if not _bernoulli(CONTRAST_PROBABILITY, generator):
        return magnitude
    depth, waves = _uniform(0.3, 0.7, generator), _uniform(0.2, 0.6, generator)
    start = _uniform(0, 2 * math.pi, generator)
    return magnitude * (1 + depth * torch.sin(2 * math.pi * waves * magnitude + start))


def _own_noise(size: int, generator: torch.Generator) -> Tensor:
    """Random noise of an image `[2, y, x]`, white or, as in zero-filled images, coarser.

    Where an image is noisier than the level that is to be removed, a prior that has never seen that
    answers with changes far beyond the level.
    """
    low, high = map(math.log, NOISE_RANGE)
    level = math.exp(_uniform(low, high, generator))
    points = size if _bernoulli(0.5, generator) else int(size * _uniform(0.5, 1, generator))
    noise = torch.randn(1, 2, points, points, generator=generator)
    if points != size:
        noise = F.interpolate(noise, (size, size), mode="bicubic", align_corners=False)
    return level * noise[0]


def _phase_steps(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    """Random factors `[y, x]` that give some tissue another phase, as fat has in gradient echoes.

    Which one is told by intensity and place. Pixels that hold some of either lose magnitude.
    """
    blurred = F.avg_pool2d(magnitude[None], 3, 1, 1)[0]
    by_intensity = blurred / blurred.mean().clamp(min=1e-3)
    by_place = _smooth_field(len(magnitude), int(_uniform(3, 10, generator)), generator)
    mixed = torch.lerp(by_intensity, by_place, _uniform(0, 1, generator) ** 2)
    threshold = torch.quantile(mixed, _uniform(0.1, 0.95, generator))
    share = torch.sigmoid((mixed - threshold) / _uniform(0.02, 0.15, generator))
    angle = torch.tensor(_uniform(-math.pi, math.pi, generator))
    return 1 + share * (torch.polar(torch.ones(()), angle) - 1)


def _smooth_field(size: int, knots: int, generator: torch.Generator) -> Tensor:
    """Random field `[y, x]` of about unit variance with `knots` bumps along an edge."""
    coarse = torch.randn(1, 1, knots + 2, knots + 2, generator=generator)
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0, 0]


def _random_crop(
    image: NDArray[np.float16], window: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Cut a window `(y, x)` out of an image, which gets a margin of air where it is smaller."""
    starts = [
        _random_index(max(0, n - w) + 1, generator)
        for n, w in zip(image.shape, window, strict=True)
    ]
    part = image[tuple(slice(a, a + w) for a, w in zip(starts, window, strict=True))]
    pad_y, pad_x = (w - n for n, w in zip(part.shape, window, strict=True))
    margins = (pad_x // 2, pad_x - pad_x // 2, pad_y // 2, pad_y - pad_y // 2)
    return F.pad(torch.from_numpy(part.astype(np.float32)), margins)


def _random_index(length: int, generator: torch.Generator) -> int:
    return int(torch.randint(length, (), generator=generator))


def _bernoulli(probability: float, generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))

from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.training.augment import PatchSampler


@pytest.fixture(scope="module")
def volumes(phantom):
    shapes = [(70, 90), (64, 64), (100, 66)]
    return [[phantom(shape).astype(np.float16)] * (i + 1) for i, shape in enumerate(shapes)]


def test_batches_are_those_of_the_seed_and_the_step(volumes):
    one, again, other = (PatchSampler(volumes, 32, seed) for seed in (1, 1, 2))
    for step in (0, 7):
        batch, generator = one.batch(4, step)
        same, same_generator = again.batch(4, step)
        torch.testing.assert_close(batch, same, rtol=0, atol=0)
        noise = [torch.randn(5, generator=source) for source in (generator, same_generator)]
        torch.testing.assert_close(noise[0], noise[1], rtol=0, atol=0)
        assert (batch != other.batch(4, step)[0]).any()
    assert (one.batch(4, 0)[0] != one.batch(4, 1)[0]).any()


def test_batches_do_not_depend_on_those_before(volumes):
    sampler = PatchSampler(volumes, 32, 0)
    for step in range(3):
        sampler.batch(2, step)
    alone = PatchSampler(volumes, 32, 0).batch(2, 3)[0]
    torch.testing.assert_close(sampler.batch(2, 3)[0], alone, rtol=0, atol=0)


@pytest.mark.parametrize("patch", [16, 48, 96])
def test_patches_have_their_size_even_where_images_are_smaller(volumes, patch):
    batch, _ = PatchSampler(volumes, patch, 0).batch(8, 0)
    assert batch.shape == (8, 2, patch, patch)
    assert batch.dtype == torch.float32
    assert torch.isfinite(batch).all()


def _patches(volumes, count: int = 300, patch: int = 32) -> torch.Tensor:
    real = PatchSampler(volumes, patch, 0).batch(count, 0)[0]
    return torch.complex(real[:, 0], real[:, 1])


def test_patches_are_near_one_in_their_bright_parts(volumes):
    patches = _patches(volumes)
    bright = torch.quantile(patches.abs().flatten(1), 0.95, dim=1)
    assert 0.3 < float(bright.median()) < 1.5
    assert float(patches.abs().max()) < 50


def test_phases_are_anything_and_smooth(volumes):
    patches = _patches(volumes)
    centre = patches[:, 16, 16]
    angles = centre[centre.abs() > 0.1].angle()
    assert torch.histc(angles, 4, -torch.pi, torch.pi).min() > 0.15 * len(angles)
    neighbours = patches[:, :, 1:] * patches[:, :, :-1].conj()
    steps = neighbours[neighbours.abs() > 0.05].angle().abs()
    assert float(torch.quantile(steps, 0.99)) < 1.0
    assert float(steps.max()) > 0.1


def test_phase_leaves_air_empty(volumes):
    assert float((_patches(volumes).abs() < 1e-3).float().mean()) > 0.1


def test_every_volume_counts_the_same():
    values = [0.3, 0.6, 0.9]
    flat = [[np.full((64, 64), value, np.float16)] * (10**i) for i, value in enumerate(values)]
    sampler = PatchSampler(flat, 64, 0)
    generator = torch.Generator().manual_seed(0)
    means = [float(sampler._magnitude(generator).max()) for _ in range(300)]
    counts = [sum(abs(mean - value) < 0.14 for mean in means) for value in values]
    assert sum(counts) == 300
    assert min(counts) > 70

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gadget.training import augment
from gadget.training.augment import PatchSampler


@pytest.fixture(scope="module")
def heads(phantom):
    shapes = [(70, 90), (64, 64), (100, 66)]
    return [[phantom(shape).astype(np.float16)] * (i + 1) for i, shape in enumerate(shapes)]


@pytest.fixture
def nothing_but(monkeypatch):
    """Switches all changes off but those named."""

    def switch(*wanted: str) -> None:
        for name in (
            "ZOOM_PROBABILITY",
            "STRETCH_PROBABILITY",
            "ROTATION_PROBABILITY",
            "FLOOR_PROBABILITY",
            "CONTRAST_PROBABILITY",
            "STEP_PROBABILITY",
            "NOISE_PROBABILITY",
        ):
            monkeypatch.setattr(augment, name, float(name in wanted))

    return switch


def _magnitudes(volumes, patch: int, count: int) -> list[torch.Tensor]:
    sampler = PatchSampler(volumes, patch, 0)
    return [sampler._magnitude(torch.Generator().manual_seed(i)) for i in range(count)]


def test_patches_are_those_of_the_seed_and_the_number(heads):
    one, again, other = (PatchSampler(heads, 32, seed) for seed in (1, 1, 2))
    for number in (7, 0):
        patch, generator = one.draw(number)
        same, same_generator = again.draw(number)
        torch.testing.assert_close(patch, same, rtol=0, atol=0)
        noise = [torch.randn(5, generator=source) for source in (generator, same_generator)]
        torch.testing.assert_close(noise[0], noise[1], rtol=0, atol=0)
        assert (patch != other.draw(number)[0]).any()
    assert (one.draw(0)[0] != one.draw(1)[0]).any()


@pytest.mark.parametrize("patch", [16, 48, 96])
def test_patches_have_their_size_even_where_images_are_smaller(heads, patch):
    sampler = PatchSampler(heads, patch, 0)
    for number in range(12):
        drawn, _ = sampler.draw(number)
        assert drawn.shape == (2, patch, patch)
        assert drawn.dtype == torch.float32
        assert torch.isfinite(drawn).all()


def _complex_patches(volumes) -> torch.Tensor:
    sampler = PatchSampler(volumes, 32, 0)
    real = torch.stack([sampler.draw(number)[0] for number in range(300)])
    return torch.complex(real[:, 0], real[:, 1])


@pytest.fixture(scope="module")
def patches(heads):
    return _complex_patches(heads)


def test_patches_are_near_one_in_their_bright_parts(patches):
    bright = torch.quantile(patches.abs().flatten(1), 0.95, dim=1)
    assert 0.3 < float(bright.median()) < 1.5
    assert float(patches.abs().max()) < 50


def test_phases_are_anything_and_smooth(heads, monkeypatch):
    for name in ("STEP_PROBABILITY", "NOISE_PROBABILITY"):
        monkeypatch.setattr(augment, name, 0.0)
    patches = _complex_patches(heads)
    centre = patches[:, 16, 16]
    angles = centre[centre.abs() > 0.1].angle()
    assert torch.histc(angles, 4, -torch.pi, torch.pi).min() > 0.15 * len(angles)
    neighbours = patches[:, :, 1:] * patches[:, :, :-1].conj()
    steps = neighbours[neighbours.abs() > 0.05].angle().abs()
    assert float(torch.quantile(steps, 0.99)) < 1.0
    assert float(steps.max()) > 0.1


def test_phase_leaves_air_empty(patches):
    assert float((patches.abs() < 1e-3).float().mean()) > 0.1


def test_few_patches_are_nothing_but_air(monkeypatch):
    image = np.zeros((128, 128), np.float16)
    image[30:90, 30:90] = 1

    def share_of_air() -> float:
        return np.mean([float(patch.max()) < 0.1 for patch in _magnitudes([[image]], 32, 300)])

    seldom = share_of_air()
    monkeypatch.setattr(augment, "MIN_BRIGHTNESS", 0.0)
    # Drawn once more, a share becomes its square.
    assert seldom == pytest.approx(share_of_air() ** 2, abs=0.03)
    assert seldom < 0.5 * share_of_air()


def test_every_volume_counts_the_same(nothing_but):
    nothing_but()
    values = [0.3, 0.6, 0.9]
    flat = [[np.full((64, 64), value, np.float16)] * (10**i) for i, value in enumerate(values)]
    means = [float(patch.max()) for patch in _magnitudes(flat, 64, 300)]
    counts = [sum(abs(mean - value) < 0.01 for mean in means) for value in values]
    assert sum(counts) == 300
    assert min(counts) > 70


def test_patches_are_cut_out_as_they_are_turned_and_flipped(nothing_but):
    nothing_but()
    image = np.arange(1, 26, dtype=np.float16).reshape(5, 5) / 25
    ways = {tuple(patch.flatten().tolist()) for patch in _magnitudes([[image]], 5, 100)}
    whole = torch.from_numpy(image.astype(np.float32))
    turned = [w.rot90(k) for w in (whole, whole.T) for k in range(4)]
    assert ways == {tuple(one.flatten().tolist()) for one in turned}


def test_zoom_and_rectangular_pixels_change_lengths(nothing_but):
    """A disc becomes an ellipse of another size."""
    y, x = np.mgrid[-50:50, -50:50]
    disc = [[(x**2 + y**2 < 20**2).astype(np.float16)]]

    def axes(patch):
        inside = patch > 0.5
        return sorted(inside.any(dim=d).sum().item() for d in (0, 1))

    # Discs that lie inside the patch as a whole.
    def whole(count):
        found = _magnitudes(disc, 80, count)
        return [p for p in found if max(p[[0, -1]].max(), p[:, [0, -1]].max()) < 0.1]

    nothing_but("STRETCH_PROBABILITY")
    ratios = [long / short for short, long in map(axes, whole(60))]
    assert 1.15 < max(ratios) < 1.45
    areas = [short * long for short, long in map(axes, whole(60))]
    np.testing.assert_allclose(areas, 39 * 39, rtol=0.1)
    nothing_but("ZOOM_PROBABILITY")
    sizes = [axes(patch) for patch in whole(60)]
    assert all(long - short <= 1 for short, long in sizes)
    assert min(sizes)[0] < 25
    assert max(sizes)[0] > 42


def test_rotation_turns_by_any_angle_and_keeps_brightness(nothing_but):
    nothing_but("ROTATION_PROBABILITY")
    stripes = (0.5 + 0.4 * np.sin(0.5 * np.arange(160))).astype(np.float16)
    stripes = np.tile(stripes, (160, 1))
    angles = []
    for patch in _magnitudes([[stripes]], 48, 40):
        spectrum = torch.fft.fft2(patch - patch.mean(), (512, 512)).abs()
        fy, fx = divmod(int(spectrum.argmax()), 512)
        fy, fx = (f - 512 if f > 256 else f for f in (fy, fx))
        assert 2 * math.pi * math.hypot(fy, fx) / 512 == pytest.approx(0.5, rel=0.05)
        angles.append(math.degrees(math.atan2(fy, fx)) % 180)
        assert float(patch.mean()) == pytest.approx(0.5, abs=0.05)
        assert 0.85 < float(patch.max()) < 0.95
    assert np.histogram(angles, 6, (0, 180))[0].min() >= 2


def test_turned_patches_reach_into_their_corners(nothing_but):
    """A ramp stays a ramp."""
    nothing_but("ROTATION_PROBABILITY")
    ramp = np.tile(np.linspace(0, 1, 160), (160, 1)).astype(np.float16)
    for patch in _magnitudes([[ramp]], 48, 20):
        for axis in (0, 1):
            bend = patch.diff(n=2, dim=axis).abs()
            assert float(bend.max()) < 2e-3


def _noisy_head(phantom, level):
    rng = np.random.default_rng(0)
    head = phantom((128, 128))
    noise = level * rng.normal(size=(2, *head.shape))
    return head, np.hypot(head + noise[0], noise[1]).astype(np.float16)


def test_the_noise_floor_of_air_varies_down_to_nothing(nothing_but, phantom):
    nothing_but("FLOOR_PROBABILITY")
    head, noisy = _noisy_head(phantom, 0.03)
    air, tissue = (torch.from_numpy(mask) for mask in (head == 0, head > 0.5))
    image = torch.from_numpy(noisy.astype(np.float32))
    floors = []
    for seed in range(30):
        lowered = augment._lower_noise_floor(image, torch.Generator().manual_seed(seed))
        floors.append(float(lowered[air].mean() / image[air].mean()))
        torch.testing.assert_close(lowered[tissue], image[tissue], atol=0.01, rtol=0)
    assert min(floors) < 0.35
    assert max(floors) > 0.9
    assert max(floors) <= 1


def test_tissue_is_no_noise_floor(nothing_but):
    nothing_but("FLOOR_PROBABILITY")
    tissue = torch.full((32, 32), 0.8)
    for seed in range(10):
        lowered = augment._lower_noise_floor(tissue, torch.Generator().manual_seed(seed))
        assert float(lowered.min()) > 0.77


def test_contrasts_change_and_air_stays_dark(nothing_but):
    nothing_but("CONTRAST_PROBABILITY")
    ramp = torch.linspace(0, 2, 100)[None]
    changed = [
        augment._random_contrast(ramp, torch.Generator().manual_seed(seed)) for seed in range(20)
    ]
    assert all(float(one[0, 0]) == 0 for one in changed)
    assert any((one.diff() < 0).any() for one in changed)


def test_tissues_have_phases_of_their_own(nothing_but):
    nothing_but("STEP_PROBABILITY")
    image = np.full((64, 64), 0.4, np.float16)
    image[16:48, 16:48] = 1
    steps, losses = [], []
    for number in range(60):
        real, imaginary = PatchSampler([[image]], 64, 0).draw(number)[0]
        patch = torch.complex(real, imaginary)
        edge = patch[20:44, 17:19].mean() * patch[20:44, 13:15].mean().conj()
        within = patch[20:44, 30:32].mean() * patch[20:44, 26:28].mean().conj()
        steps.append(abs(float(edge.angle() - within.angle())))
        losses.append(float(patch[20:44, 14:18].abs().min() / patch[20:44, 12].abs().min()))
    # Smooth phase alone differs less, and its pixels lose nothing.
    assert np.quantile(steps, 0.25) < 0.5
    assert np.quantile(steps, 0.9) > 1.5
    assert min(losses) < 0.7


def test_images_may_be_noisy_themselves(nothing_but):
    nothing_but("NOISE_PROBABILITY")
    sampler = PatchSampler([[np.full((64, 64), 1e-3, np.float16)]], 64, 0)
    patches = torch.stack([sampler.draw(number)[0] for number in range(40)])
    levels = patches.std(dim=(1, 2, 3))
    low, high = augment.NOISE_RANGE
    assert low / 2 < float(levels.min()) < 2 * low
    assert high / 2 < float(levels.max()) < 2 * high
    real, imaginary = patches.unbind(dim=1)
    assert abs(float((real * imaginary).mean())) < 0.05 * float((real * real).mean())
    neighbours = (patches[..., 1:] * patches[..., :-1]).mean(dim=(1, 2, 3)) / levels**2
    assert float(neighbours.min()) < 0.05
    assert float(neighbours.max()) > 0.3

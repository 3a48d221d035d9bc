from __future__ import annotations

import numpy as np
import pytest

from gadget.mri.kspace import KSpace
from gadget.mri.noise.level import estimate_noise_std
from gadget.mri.phantoms.head import head_slice
from gadget.mri.phantoms.scanner import simulate_scan
from gadget.mri.sampling.masks import gaussian_points


def _noise(shape: tuple[int, ...]) -> np.ndarray:
    """White complex noise of unit variance, E|n|^2 = 1."""
    random = np.random.default_rng(3)
    noise = random.normal(size=(2, *shape)) / np.sqrt(2)
    return (noise[0] + 1j * noise[1]).astype(np.complex64)


def _kspace(std: float, averages: int = 1, step: int = 1) -> KSpace:
    shape = 4, 1, 64, 64
    noise = _noise(shape) * std / np.sqrt(averages)
    y, x = np.ogrid[-32:32, -32:32]
    noise += 300 * std * np.exp(-(x**2 + y**2) / 60).astype(np.complex64)
    weight = np.zeros(shape[1:], np.float32)
    weight[:, ::step] = averages
    weight[:, 28:36] = averages
    return KSpace((noise * (weight > 0)).astype(np.complex64), weight)


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize("averages", [1, 3])
@pytest.mark.parametrize("std", [1e-4, 1.0, 250.0])
def test_noise_level_is_that_of_one_average(std, averages, step):
    kspace = _kspace(std, averages, step)
    assert estimate_noise_std(kspace) == pytest.approx(std, rel=0.05)


def test_noise_level_ignores_readouts_cut_short():
    kspace = _kspace(2.0)
    kspace.weight[..., :20] = 0
    assert estimate_noise_std(KSpace(kspace.data * kspace.mask, kspace.weight)) == pytest.approx(
        2, rel=0.05
    )


def test_noise_level_among_scattered_points():
    """Edges of a head reach far out in k-space, and beside it nothing is measured completely."""
    rng = np.random.default_rng(0)
    scan = simulate_scan(head_slice((192, 192), 220, 0), 8, 0.01, rng)
    mask = gaussian_points((192, 192), 8, 0.06, rng)
    kspace = KSpace((scan.kspace * mask)[:, None], mask[None].astype(np.float32))
    assert estimate_noise_std(kspace) == pytest.approx(1, rel=0.1)


def _head_without_air(coils: int) -> KSpace:
    """A whitened scan so small and so bright that signal is everywhere."""
    scan = simulate_scan(head_slice((64, 64), 150, 0), coils, 0.005, np.random.default_rng(1))
    return KSpace(scan.kspace[:, None], np.ones((1, 64, 64), np.float32))


def test_noise_level_is_that_of_the_coils_weakest_combination():
    assert estimate_noise_std(_head_without_air(12)) == pytest.approx(1, rel=0.15)


def test_a_dead_coil_is_not_the_noise_level():
    kspace = _head_without_air(12)
    kspace.data[4] = 0
    assert estimate_noise_std(kspace) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("gain", [1e-3, 0.03])
def test_a_weak_coil_that_was_not_whitened_is_not_the_noise_level(gain):
    kspace = _kspace(1.0)
    kspace.data[2] *= gain
    assert 0.7 < estimate_noise_std(kspace) < 1.05


def test_noise_level_of_nothing_is_zero():
    empty = KSpace(np.zeros((2, 1, 8, 8), np.complex64), np.zeros((1, 8, 8), np.float32))
    assert estimate_noise_std(empty) == 0

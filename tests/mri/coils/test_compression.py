from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.coils.compression import compress
from gadget.mri.phantoms.scanner import correlated_noise


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.999])
def test_compression_keeps_the_energy_with_as_few_coils_as_possible(measure, energy):
    data = torch.from_numpy(measure(coils=12).kspace.data)
    matrix = compress(data, energy)
    virtual = torch.tensordot(matrix, data, dims=1)
    kept = virtual.flatten(1).abs().square().sum(dim=1) / data.abs().square().sum()
    assert kept.sum() >= energy - 1e-6
    assert kept[:-1].sum() < energy
    assert len(matrix) < 12


@pytest.mark.parametrize("scale", [1e-25, 9e18])
def test_the_scale_of_the_data_does_not_matter(scale):
    seeded = torch.Generator().manual_seed(0)
    data = torch.arange(1, 7)[:, None] * torch.randn(6, 1000, generator=seeded, dtype=torch.cfloat)
    data /= data.abs().max()
    found, expected = compress(data * scale, 0.9), compress(data, 0.9)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_compression_keeps_white_noise_white(measure):
    matrix = compress(torch.from_numpy(measure(coils=8).kspace.data), 0.99).numpy()
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(len(matrix)), atol=1e-6)
    noise = matrix @ correlated_noise(np.eye(8), 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(noise @ noise.conj().T / 40_000, np.eye(len(matrix)), atol=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_counted_as_signal(measure, seed):
    clean = torch.from_numpy(measure(coils=16, noise=0).kspace.data)
    seeded = torch.Generator().manual_seed(seed)
    std = 0.03 * float(clean.abs().max())
    noise = std * torch.randn(clean.shape, generator=seeded, dtype=torch.cfloat)
    noisy = clean + noise * (clean != 0)
    needed = len(compress(clean, 0.99))
    assert len(compress(noisy, 0.99)) == 16
    assert needed - 1 <= len(compress(noisy, 0.99, std)) <= needed
    # A quarter of the noise energy is left in the mean of four.
    assert len(compress(noisy, 0.99, 2 * std)) < len(compress(noisy, 0.99, std))
    weight = torch.full(clean.shape[1:], 4.0)
    torch.testing.assert_close(
        compress(noisy, 0.99, 2 * std, weight), compress(noisy, 0.99, std), atol=1e-4, rtol=0
    )
    assert len(compress(1e-20 * noisy, 0.99, 1e-20 * std)) == len(compress(noisy, 0.99, std))


@pytest.mark.parametrize("seed", range(6))
def test_noise_alone_keeps_all_coils(seed):
    seeded = torch.Generator().manual_seed(seed)
    noise = torch.randn(32, 4000, generator=seeded, dtype=torch.cfloat)
    assert compress(noise, 0.999, 1.0).shape == (32, 32)


def test_a_sample_of_hardly_any_weight_changes_nothing(measure):
    data = torch.from_numpy(measure(coils=8, noise=0.02).kspace.data)
    weight = (data[0] != 0).float()
    expected = compress(data, 0.99, 0.02, weight)
    weight[0, 0, 0] = 1e-39
    torch.testing.assert_close(compress(data, 0.99, 0.02, weight), expected, atol=1e-2, rtol=0)
    assert compress(data, 0.99, 0.0, weight).shape == compress(data, 0.99).shape


def test_all_energy_needs_all_coils_and_zeros_need_any(measure):
    data = torch.from_numpy(measure(coils=5, noise=0.1).kspace.data)
    assert compress(data, 1.0).shape == (5, 5)
    assert torch.isfinite(torch.view_as_real(compress(torch.zeros_like(data), 0.999))).all()

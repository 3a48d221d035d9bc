from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.operators.fourier import fftc, ifftc

SIZES = [(4, 6), (5, 7), (4, 7), (7, 4), (1, 5), (2, 1)]


def _random(shape, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=shape) + 1j * random.normal(size=shape)


def _matrix(n: int) -> np.ndarray:
    """The definition of the centred orthonormal transform `[k, x]`."""
    at = np.arange(n) - n // 2
    return np.exp(-2j * np.pi * np.outer(at, at) / n) / np.sqrt(n)


@pytest.mark.parametrize("shape", SIZES)
def test_both_directions_are_the_definition(shape):
    x = _random((2, *shape))
    rows, columns = (_matrix(n) for n in shape)
    forward = rows @ x @ columns.T
    np.testing.assert_allclose(fftc(x), forward, atol=1e-12)
    np.testing.assert_allclose(ifftc(forward), x, atol=1e-12)
    np.testing.assert_allclose(ifftc(x), rows.conj() @ x @ columns.conj().T, atol=1e-12)


@pytest.mark.parametrize("shape", SIZES)
def test_torch_agrees_with_numpy(shape):
    x = _random((2, *shape))
    for axes in [(-2, -1), (0,), (1, 2)]:
        np.testing.assert_allclose(fftc(torch.from_numpy(x), axes), fftc(x, axes), atol=1e-12)
        np.testing.assert_allclose(ifftc(torch.from_numpy(x), axes), ifftc(x, axes), atol=1e-12)


def test_only_the_named_axes_are_transformed():
    x = _random((3, 4, 5))
    np.testing.assert_allclose(fftc(x, (1,)), np.einsum("ky,zyx->zkx", _matrix(4), x), atol=1e-12)


@pytest.mark.parametrize("n", [8, 9])
def test_a_point_in_the_centre_is_a_constant(n):
    x = np.zeros((n, n), np.complex64)
    x[n // 2, n // 2] = n
    np.testing.assert_allclose(fftc(x), np.ones((n, n)), atol=1e-6)


def test_single_precision_stays_single():
    x = _random((4, 5)).astype(np.complex64)
    assert fftc(x).dtype == ifftc(x).dtype == np.complex64
    assert fftc(torch.from_numpy(x)).dtype == torch.complex64

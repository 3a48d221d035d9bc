from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.operators.fourier import fftc
from gadget.mri.operators.sense import (
    SamplingOperator,
    SenseOperator,
    combine,
    varying_axes,
)
from gadget.mri.phantoms.scanner import coil_maps

COILS = 3
MASKS = ["ky", "kx", "points", "full"]
SHAPES = [(8, 6), (7, 9), (8, 5)]


def _mask(kind: str, shape) -> torch.Tensor:
    random = np.random.default_rng(4)
    mask = np.zeros(shape, bool)
    if kind == "ky":
        mask[::2] = mask[shape[0] // 2] = True
    elif kind == "kx":
        mask[:, 1::2] = mask[:, 0] = True
    elif kind == "points":
        mask = random.random(shape) < 0.4
    else:
        mask[:] = True
    return torch.from_numpy(mask)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


def _maps(shape) -> torch.Tensor:
    return torch.from_numpy(coil_maps(COILS, shape)).to(torch.complex128)


def _dense(maps: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    """The encoding matrix `[measurement, pixel]` by its definition, without any shortcut."""
    shape = mask.shape
    pixels = np.eye(mask.numel()).reshape(-1, 1, *shape)
    columns = mask.numpy() * fftc(maps.numpy() * pixels)
    return columns.reshape(len(pixels), -1).T


def _vdot(a: torch.Tensor, b: torch.Tensor) -> complex:
    return complex(torch.vdot(a.flatten(), b.flatten()))


@pytest.mark.parametrize(
    ("kind", "axes"), [("ky", (-2,)), ("kx", (-1,)), ("points", (-2, -1)), ("full", ())]
)
def test_only_axes_along_which_the_mask_changes_are_transformed(kind, axes):
    mask = _mask(kind, (8, 6))
    assert varying_axes(mask) == axes
    assert SamplingOperator(mask).axes == axes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", MASKS)
def test_the_adjoint_is_the_adjoint(kind, shape):
    operator = SenseOperator(SamplingOperator(_mask(kind, shape)), _maps(shape))
    x, y = _random(*shape), _random(COILS, *shape, seed=1)
    assert _vdot(operator.forward(x), y) == pytest.approx(_vdot(x, operator.adjoint(y)), rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", MASKS)
def test_hybrid_data_tell_the_same_as_k_space(kind, shape):
    """``A* y``, ``A* A m`` and ``|A m - y|`` are those of the full two-dimensional operator."""
    mask, maps = _mask(kind, shape), _maps(shape)
    sampling = SamplingOperator(mask)
    operator, dense = SenseOperator(sampling, maps), _dense(maps, mask)
    x, kspace = _random(*shape), mask * _random(COILS, *shape, seed=1)
    y = sampling.to_hybrid(kspace)
    adjoint = (dense.conj().T @ kspace.numpy().ravel()).reshape(shape)
    np.testing.assert_allclose(operator.adjoint(y), adjoint, atol=1e-12)
    predicted = dense @ x.numpy().ravel()
    np.testing.assert_allclose(
        operator.adjoint(operator.forward(x)),
        (dense.conj().T @ predicted).reshape(shape),
        atol=1e-12,
    )
    residual = torch.linalg.vector_norm(operator.forward(x) - y)
    assert residual == pytest.approx(np.linalg.norm(predicted - kspace.numpy().ravel()))


@pytest.mark.parametrize("kind", MASKS)
def test_points_that_were_not_measured_play_no_part(kind):
    mask = _mask(kind, (8, 6))
    sampling, kspace = SamplingOperator(mask), _random(COILS, 8, 6)
    torch.testing.assert_close(sampling.to_hybrid(kspace), sampling.to_hybrid(kspace * mask))


@pytest.mark.parametrize("kind", MASKS)
def test_with_normalised_maps_nothing_is_amplified(kind):
    """Chung and Ye 2022, Proposition 1: the norm of the operator is at most 1."""
    mask, maps = _mask(kind, (7, 8)), _maps((7, 8))
    operator = SenseOperator(SamplingOperator(mask), maps)
    pixels = torch.eye(56, dtype=torch.complex128).reshape(-1, 7, 8)
    singular = torch.linalg.svdvals(operator.forward(pixels).reshape(56, -1))
    assert singular[0] <= 1 + 1e-7
    np.testing.assert_allclose(
        singular, np.linalg.svd(_dense(maps, mask), compute_uv=False), atol=1e-7
    )
    if kind == "full":
        np.testing.assert_allclose(singular, np.ones(56), atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", MASKS)
def test_the_inverse_is_that_of_a_dense_solver(kind, shape):
    mask, maps = _mask(kind, shape), _maps(shape)
    sampling = SamplingOperator(mask)
    operator, dense = SenseOperator(sampling, maps), _dense(maps, mask)
    kspace, prior = mask * _random(COILS, *shape), _random(*shape, seed=2)
    weight = 0.05
    found = operator.regularised_inverse(
        operator.adjoint(sampling.to_hybrid(kspace)), prior, weight, iterations=80
    )
    normal = dense.conj().T @ dense + weight * np.eye(mask.numel())
    right = dense.conj().T @ kspace.numpy().ravel() + weight * prior.numpy().ravel()
    expected = np.linalg.solve(normal, right).reshape(shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_single_precision_is_good_to_single_precision():
    mask, maps = _mask("ky", (8, 6)), _maps((8, 6))
    sampling = SamplingOperator(mask)
    kspace, prior = mask * _random(COILS, 8, 6), _random(8, 6, seed=2)
    images = []
    for kind in (torch.complex64, torch.complex128):
        operator = SenseOperator(sampling, maps.to(kind))
        adjoint = operator.adjoint(sampling.to_hybrid(kspace.to(kind)))
        images.append(operator.regularised_inverse(adjoint, prior.to(kind), 0.05, 80))
    assert images[0].dtype == torch.complex64
    np.testing.assert_allclose(images[0], images[1], atol=1e-4)


def test_images_of_a_batch_do_not_depend_on_each_other():
    mask = _mask("ky", (8, 6))
    operator = SenseOperator(SamplingOperator(mask), _maps((8, 6)))
    adjoints = torch.stack([operator.adjoint(_random(COILS, 8, 6, seed=i)) for i in range(3)])
    adjoints = adjoints * torch.tensor([1.0, 1e3, 1e-3])[:, None, None]
    priors = torch.zeros_like(adjoints)
    together = operator.regularised_inverse(adjoints, priors, 0.01, 5)
    for image, adjoint, prior in zip(together, adjoints, priors, strict=True):
        alone = operator.regularised_inverse(adjoint, prior, 0.01, 5)
        torch.testing.assert_close(image, alone, rtol=1e-9, atol=0)


def test_combination_inverts_normalised_maps():
    maps, image = _maps((8, 6)), _random(2, 8, 6)
    coil_images = maps * image[:, None]
    torch.testing.assert_close(combine(coil_images, maps), image, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_an_operator_whose_maps_are_replaced_is_that_of_the_new_ones(device):
    mask, before = _mask("ky", (48, 40)), _maps((48, 40))
    after = before.flip((0, -1))
    operator = SenseOperator(SamplingOperator(mask.to(device)), before.to(device))
    zero = torch.zeros(48, 40, dtype=before.dtype)
    for maps, weight, iterations in ((before, 0.01, 20), (after, 0.1, 30), (before, 0.01, 3)):
        operator.replace_maps(maps.to(device))
        expected = SenseOperator(SamplingOperator(mask), maps)
        adjoint = expected.adjoint(_random(COILS, 48, 40))
        solved = operator.regularised_inverse(
            adjoint.to(device), zero.to(device), weight, iterations
        )
        torch.testing.assert_close(
            solved.cpu(), expected.regularised_inverse(adjoint, zero, weight, iterations)
        )


@pytest.mark.gpu
def test_a_gpu_solves_as_a_cpu_does():
    mask = _mask("ky", (48, 40)).cpu()
    operator = SenseOperator(SamplingOperator(mask), _maps((48, 40)))
    adjoint = operator.adjoint(_random(COILS, 48, 40))
    there = SenseOperator(SamplingOperator(mask.cuda()), _maps((48, 40)).cuda())
    for iterations in (2, 20, 20):
        zero = torch.zeros_like(adjoint)
        expected = operator.regularised_inverse(adjoint, zero, 0.01, iterations)
        solved = there.regularised_inverse(adjoint.cuda(), zero.cuda(), 0.01, iterations)
        torch.testing.assert_close(solved.cpu(), expected, rtol=1e-4, atol=1e-4)

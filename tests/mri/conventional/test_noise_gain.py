from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.conventional.noise_gain import noise_gain
from gadget.mri.operators.sense import SamplingOperator, SenseOperator
from gadget.mri.phantoms.scanner import coil_maps

SHAPE = (64, 48)
WEIGHT, ITERATIONS = 0.35, 20


def _gain(coils: int, step: int, samples: int = 1) -> float:
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[::step] = True
    sampling = SamplingOperator(mask)
    operator = SenseOperator(sampling, torch.from_numpy(coil_maps(coils, SHAPE)))
    images = torch.zeros(samples, *SHAPE, dtype=torch.complex64)
    data = operator.forward(images[0])
    return noise_gain(operator, data, images, WEIGHT, ITERATIONS)


def test_complete_data_bring_in_their_noise():
    assert _gain(1, 1) == pytest.approx(1, rel=0.05)
    assert _gain(8, 1) == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("step", [2, 4, 8])
def test_of_one_coil_only_what_is_measured_is_noisy(step):
    assert _gain(1, step) == pytest.approx(step**-0.5, rel=0.07)


def test_many_coils_determine_more_and_bring_in_more_noise():
    one, four, eight = (_gain(coils, 4) for coils in (1, 4, 8))
    assert 1.2 * one < four < eight < 1.3


def test_it_is_what_a_dense_matrix_says():
    shape = (8, 6)
    mask = torch.from_numpy(np.random.default_rng(0).random(shape) < 0.5)
    sampling = SamplingOperator(mask)
    operator = SenseOperator(sampling, torch.from_numpy(coil_maps(3, shape)))
    basis = torch.eye(48, dtype=torch.complex64).reshape(48, *shape)
    encoding = operator.forward(basis).reshape(48, -1).mT.to(torch.complex128)
    normal = encoding.mH @ encoding + WEIGHT * torch.eye(48)
    noisy = torch.linalg.solve(normal, encoding.mH)
    exact = (1 + WEIGHT) * float((noisy.abs().square().sum() / 48).sqrt())
    images = torch.zeros(1, *shape, dtype=torch.complex64)
    data = operator.forward(images[0])
    # One draw of noise for few pixels; its mean square differs by chance.
    assert noise_gain(operator, data, images, WEIGHT, 50) == pytest.approx(exact, rel=0.2)

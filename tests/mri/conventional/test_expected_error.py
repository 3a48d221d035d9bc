from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.conventional.cg_sense import cg_sense_image
from gadget.mri.conventional.expected_error import expected_error
from gadget.mri.operators.sense import SamplingOperator, SenseOperator
from gadget.mri.phantoms.head import head_slice
from gadget.mri.phantoms.scanner import coil_maps

SHAPE = (64, 64)


def _scan(coils: int, lines) -> tuple[SamplingOperator, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return sampling, maps, the conventional image and its true error."""
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[lines] = True
    sampling = SamplingOperator(mask)
    maps = torch.from_numpy(coil_maps(coils, SHAPE))
    truth = torch.from_numpy(head_slice(SHAPE, 220, 0)).to(torch.complex64)
    data = SenseOperator(sampling, maps).forward(truth)
    image = cg_sense_image(sampling, maps, data)
    return sampling, maps, image, (image - truth).abs().square().mean().sqrt()


def _expected(coils: int, lines) -> float:
    sampling, maps, image, _ = _scan(coils, lines)
    return expected_error(sampling, maps, image)


def test_what_is_measured_completely_is_expected_to_be_right():
    complete, half = (_expected(1, slice(None, None, step)) for step in (1, 2))
    assert complete < 0.02 * half


def test_fewer_lines_and_fewer_coils_leave_more_error():
    eight = [_expected(8, slice(None, None, step)) for step in (2, 4, 8)]
    assert eight[0] < 0.7 * eight[1] < 0.7 * eight[2]
    assert eight[1] < 0.7 * _expected(2, slice(None, None, 4))


@pytest.mark.parametrize("step", [4, 6])
def test_the_true_error_is_of_that_order(step):
    lines = sorted({*range(0, 64, step), *range(28, 36)})
    sampling, maps, image, error = _scan(4, lines)
    assert 0.4 < expected_error(sampling, maps, image) / float(error) < 3


def test_the_error_scales_with_the_image():
    sampling, maps, image, _ = _scan(4, slice(None, None, 4))
    one, ten = (expected_error(sampling, maps, image * factor) for factor in (1, 10))
    assert ten == pytest.approx(10 * one, rel=1e-4)
    assert np.isfinite(expected_error(sampling, maps, 0 * image))

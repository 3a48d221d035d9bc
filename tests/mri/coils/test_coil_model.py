from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gadget.mri.coils.coil_model import FIT_PENALTY, CoilModel, normalise
from gadget.mri.operators.field_of_view import FieldOfView
from gadget.mri.operators.sense import SamplingOperator


def _sampled(scan):
    """The sampling operator of a scan, and its data."""
    sampling = SamplingOperator(torch.from_numpy(scan.kspace.mask[0]))
    return sampling, sampling.to_hybrid(torch.from_numpy(scan.kspace.data[:, 0]))


def _coils(order=5, shape=(48, 48)) -> CoilModel:
    random = torch.Generator().manual_seed(0)
    return CoilModel(
        torch.randn(4, order, order, dtype=torch.complex64, generator=random), FieldOfView(shape)
    )


def test_more_room_for_detail_leaves_the_maps_as_they_are():
    coils = _coils()
    wider = coils.with_order(9)
    assert wider.coefficients.shape == (4, 9, 9)
    torch.testing.assert_close(wider.maps, coils.maps, rtol=1e-5, atol=1e-5)


def test_sensitivities_are_the_same_on_any_matrix():
    coils = _coils(shape=(60, 42))
    torch.testing.assert_close(
        replace(coils, field_of_view=FieldOfView((20, 14))).maps, coils.maps[:, ::3, ::3]
    )


def test_refits_find_the_sensitivities_behind_a_known_image(measure):
    scan = measure(coils=4, noise=0)
    image = torch.from_numpy(scan.image.astype(np.complex64))
    coils = CoilModel(torch.zeros(4, 8, 8, dtype=torch.complex64), FieldOfView((48, 48)))
    for _ in range(2):
        coils = coils.refitted(image, *_sampled(scan))
        assert scan.map_error(coils.maps.numpy()).max() < 1e-4


@pytest.mark.parametrize("axes", [(), (-2,), (-1,), (-2, -1)])
def test_a_refit_is_the_least_squares_solution(axes):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.view_as_complex(torch.randn(*shape, 2, generator=generator))

    mask = torch.rand(11, 10, generator=generator) < 0.5
    mask = {(): mask | True, (-2,): mask[:, :1], (-1,): mask[:1], (-2, -1): mask}[axes]
    sampling = SamplingOperator(mask.expand(11, 10))
    assert sampling.axes == axes
    before, image = CoilModel(draw(3, 4, 4), FieldOfView((11, 10))), draw(11, 10)
    data = sampling.forward(draw(3, 11, 10))
    after = before.refitted(image, sampling, data)

    def loss(coefficients: torch.Tensor) -> torch.Tensor:
        basis_y, basis_x = before.bases(ifftshift=True)
        maps = basis_y @ coefficients @ basis_x.mT
        residual = sampling.forward(maps * torch.fft.ifftshift(image)) - data
        pull = FIT_PENALTY * image.abs().square().sum()
        change = coefficients - before.coefficients
        return residual.abs().square().sum() + pull * change.abs().square().sum()

    best = after.coefficients.clone().requires_grad_()
    loss(best).backward()
    start = before.coefficients.clone().requires_grad_()
    loss(start).backward()
    assert best.grad.norm() < 1e-4 * start.grad.norm()


def test_maps_of_zeros_stay_finite():
    assert not normalise(torch.zeros(3, 4, 4, dtype=torch.complex64)).any()

from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.mri.operators.field_of_view import FieldOfView
from gadget.mri.operators.fourier import fftc

MATRICES = pytest.mark.parametrize("matrix", [(16, 24), (17, 23), (32, 9)])


def _random(*shape) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


@MATRICES
@pytest.mark.parametrize(
    ("reach", "axes"),
    [((1 / 8, 0), (-2,)), ((0, 1 / 4), (-1,)), ((1 / 4, 1 / 8), (-2, -1)), ((1 / 2, 0), (-2,))],
)
def test_unfolding_is_the_adjoint_of_folding(matrix, reach, axes):
    field_of_view = FieldOfView(matrix, reach)
    assert field_of_view.extended_axes == axes
    image, data = _random(3, *field_of_view.shape), _random(3, *matrix)
    folded, unfolded = field_of_view.fold(image), field_of_view.unfold(data)
    assert folded.shape == data.shape
    assert unfolded.shape == image.shape
    torch.testing.assert_close((folded.conj() * data).sum(), (image.conj() * unfolded).sum())


@MATRICES
def test_an_image_folds_as_undersampled_k_space_does(matrix):
    """Every other line of twice the field of view is k-space of the image that folded."""
    rows, columns = matrix
    field_of_view = FieldOfView(matrix, (1 / 4, 0))
    image = _random(*field_of_view.shape)
    larger = torch.zeros(2 * rows, columns, dtype=image.dtype)
    start = rows - field_of_view.shape[0] // 2
    larger[start : start + field_of_view.shape[0]] = image
    folded = torch.fft.fftshift(field_of_view.fold(torch.fft.ifftshift(image)))
    expected = 2**0.5 * fftc(larger)[rows % 2 :: 2]
    torch.testing.assert_close(fftc(folded), expected)


@MATRICES
def test_cropping_takes_off_what_padding_adds(matrix):
    field_of_view = FieldOfView(matrix, (1 / 8, 1 / 8))
    image = _random(2, *matrix)
    padded = field_of_view.pad(image)
    assert padded.shape[1:] == field_of_view.shape
    torch.testing.assert_close(field_of_view.crop(padded), image)
    torch.testing.assert_close(padded.abs().sum(), image.abs().sum())


@MATRICES
def test_positions_are_the_same_at_any_resolution(matrix):
    """The pixel at the edge of the field of view lies where it does on a larger matrix."""
    for axis in (-2, -1):
        coarse = FieldOfView(matrix, (1 / 8, 0))
        fine = coarse.at((10 * matrix[0], 10 * matrix[1]))
        assert fine.extended_axes == coarse.extended_axes
        edges = [
            field.positions(axis)[field.margins[axis] + field.matrix[axis] // 2 :][0:2]
            for field in (coarse, fine)
        ]
        np.testing.assert_allclose(edges[0], [0, 10 * edges[1][1]])


def test_nothing_reaches_beyond_the_edges_unless_told():
    field_of_view = FieldOfView((5, 4))
    image = _random(5, 4)
    assert field_of_view.shape == (5, 4)
    assert field_of_view.fold(image) is image
    assert field_of_view.unfold(image) is image
    np.testing.assert_allclose(field_of_view.positions(-2), [-0.8, -0.4, 0, 0.4, 0.8])

from __future__ import annotations

import numpy as np
import torch

from gadget.mri.conventional.cg_sense import cg_sense_image, spectral_prior_image
from gadget.mri.conventional.natural_spectrum import natural_amplitudes
from gadget.mri.operators.sense import SamplingOperator


def _images(scan) -> tuple[float, float]:
    """Relative errors of both images with the true maps."""
    sampling = SamplingOperator(torch.from_numpy(scan.kspace.mask[0]))
    data = sampling.to_hybrid(torch.from_numpy(scan.kspace.data[:, 0]))
    maps = torch.from_numpy(scan.maps)
    images = (make(sampling, maps, data) for make in (cg_sense_image, spectral_prior_image))
    one, other = (np.linalg.norm(image.numpy() - scan.image) for image in images)
    return one / np.linalg.norm(scan.image), other / np.linalg.norm(scan.image)


def test_the_image_with_the_true_maps(measure):
    assert _images(measure(noise=0))[0] < 0.01


def test_large_shapes_are_found_where_lines_around_the_centre_are_missing(measure):
    lines = np.random.default_rng(0).random(96) < 0.4
    lines[46:51] = False
    mask = np.broadcast_to(lines[:, None], (96, 96))
    conventional, natural = _images(measure((96, 96), coils=8, mask=mask))
    assert natural < 0.8 * conventional


def test_amplitudes_fall_with_the_frequency():
    amplitudes = natural_amplitudes((8, 12))
    assert amplitudes.square().mean() == 1
    assert amplitudes.argmax() == 0
    np.testing.assert_allclose(amplitudes[0, 3] / amplitudes[0, 1], (2 / 10) ** 0.5, rtol=1e-6)
    np.testing.assert_array_equal(amplitudes[3], amplitudes[-3])

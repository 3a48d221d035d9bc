"""Few pixels that are brighter than anything that a prior was trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.diffusion.model_loading import load_prior
from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.samplers.highlights import split_highlights
from gadget.diffusion.settings import SamplerSettings
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc
from gadget.mri.phantoms.scanner import coil_maps

SHAPE = (96, 80)
SPOT = (slice(40, 42), slice(50, 52))


def test_ordinary_images_have_no_highlights():
    x = torch.polar(torch.linspace(0, 2, 24), torch.linspace(-3, 3, 24)).reshape(1, 4, 6)
    clipped, highlights = split_highlights(x, torch.tensor([0.0]))
    torch.testing.assert_close(clipped, x)
    assert float(highlights.abs().max()) < 1e-6


def test_a_prior_sees_bright_pixels_limited_and_nothing_is_lost():
    x = torch.zeros(2, 3, 3, dtype=torch.complex64)
    x[:, 1, 1] = -30j
    clipped, highlights = split_highlights(x, torch.tensor([0.0, 1.0]))
    assert clipped[:, 1, 1].imag.tolist() == pytest.approx([-2, -5])
    torch.testing.assert_close(clipped + highlights, x)
    assert int((clipped != 0).sum()) == 2


@pytest.mark.parametrize("body", [0, 1], ids=["alone", "in a head"])
@pytest.mark.parametrize("acceleration", [1, 3])
def test_a_small_bright_object_stays_bright(phantom, body, acceleration):
    """A vessel of four pixels: too few to count in the scale of intensity."""
    truth = body * phantom(SHAPE)
    truth[SPOT] = 30
    mask = np.zeros((1, *SHAPE), np.float32)
    mask[:, ::acceleration] = mask[:, 40:56] = 1
    kspace = fftc(coil_maps(8, SHAPE)[:, None] * truth, (2, 3))
    noise = 0.02 * np.random.default_rng(0).normal(size=(*kspace.shape, 2)) @ [1, 1j]
    settings = SamplerSettings(noise_std=0.02 * 2**0.5)
    reconstructor = Reconstructor(settings, load_prior("brain-small", torch.device("cpu")))
    measured = KSpace(((kspace + noise) * mask).astype(np.complex64), mask)
    image = np.abs(reconstructor.reconstruct(measured).image[0])
    assert image[SPOT] == pytest.approx(truth[SPOT], rel=0.03)

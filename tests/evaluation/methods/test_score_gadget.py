from __future__ import annotations

import numpy as np
import pytest
import torch

from gadget.diffusion.settings import SamplerSettings
from gadget.evaluation.methods.with_score_gadget import CountingPrior, ScoreGadget
from gadget.mri.sampling.patterns import parse_pattern


class Smoother:
    """A prior that pulls everything to zero a little, and knows nothing else."""

    name, sha256, sigma_min, sigma_max = "smoother", "0" * 64, 0.01, 10.0
    any_orientation = True
    device = torch.device("cpu")

    def denoise(self, x, sigma):
        return x / (1 + torch.as_tensor(sigma).reshape(-1, 1, 1) ** 2)


@pytest.fixture
def kspace(case):
    return case.undersampled(parse_pattern("uniform1d:2:0.2"), 0)


@pytest.mark.parametrize("samples", [1, 3])
def test_evaluations_are_counted_for_one_sample(kspace, samples):
    prior = CountingPrior(Smoother())
    settings = SamplerSettings(method="fast", steps=5, samples=samples)
    method = ScoreGadget("fast", "ours", settings, prior)
    for _ in range(2):
        (estimate,) = method.reconstruct(kspace)
        assert estimate.evaluations == 5
        assert estimate.image.shape == (48, 40)
        assert estimate.image.dtype == np.float32
        assert (estimate.std is not None) == (samples > 1)
        assert estimate.seconds > 0
        assert estimate.note == ""
    assert prior.evaluations == 2 * 5 * samples


def test_every_coil_image_counts(kspace):
    prior = CountingPrior(Smoother())
    method = ScoreGadget("paper", "paper", SamplerSettings(method="paper", steps=3), prior)
    (estimate,) = method.reconstruct(kspace)
    # Predictor and corrector at every level, for every virtual coil.
    assert estimate.evaluations in (3 * 2 * coils for coils in (2, 3, 4))


def test_conventional_methods_use_no_network(kspace, case):
    for name in ("fft", "sense"):
        (estimate,) = ScoreGadget(name, name, SamplerSettings(method=name)).reconstruct(kspace)
        assert estimate.evaluations is None
        assert np.corrcoef(estimate.image.ravel(), case.truth.ravel())[0, 1] > 0.7


def test_a_method_that_gives_way_to_another_says_so(kspace, caplog):
    class Broken(Smoother):
        def denoise(self, x, sigma):
            raise RuntimeError("no network today")

    settings = SamplerSettings(method="fast", steps=2)
    (estimate,) = ScoreGadget("fast", "ours", settings, CountingPrior(Broken())).reconstruct(kspace)
    assert "fell back to sense" in estimate.note
    assert "no network today" in estimate.note

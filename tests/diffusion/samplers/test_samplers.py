"""The samplers against a prior whose posterior is known exactly."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from gadget.diffusion.progress import no_progress
from gadget.diffusion.samplers import fast
from gadget.diffusion.samplers.fast import sample_fast
from gadget.diffusion.samplers.limited_denoiser import LimitedDenoiser
from gadget.diffusion.samplers.paper import sample_paper
from gadget.errors import ReconError
from gadget.mri.coils.coil_model import CoilModel
from gadget.mri.coils.joint_step import JointStep
from gadget.mri.conventional.expected_error import expected_error
from gadget.mri.noise.complex_noise import complex_noise


def _fast(case, *, seed=0, steps=20, samples=1, problem=None, report=no_progress):
    (sample,) = sample_fast(
        case.prior,
        [problem or case.problem],
        steps=steps,
        samples=samples,
        seed=seed,
        report=report,
    )
    return sample


def _paper(case, *, seed=0, problem=None, report=no_progress, **changed):
    settings = {
        "steps": 100,
        "corrector_steps": 1,
        "joint_every": 0,
        "lam": (1.0, 0.2),
        "snr": 0.16,
        "samples": 1,
    }
    return sample_paper(
        case.prior,
        problem or case.problem,
        **(settings | changed),
        seed=seed,
        report=report,
    )


SAMPLERS = pytest.mark.parametrize("sample", [_fast, _paper])
CASES = pytest.mark.parametrize(
    "case",
    [
        {"coils": 4, "acceleration": 2, "shape": (16, 16)},
        {"coils": 4, "acceleration": 3, "shape": (16, 15), "seed": 1},
        {"coils": 1, "shape": (15, 16)},
        {"coils": 1, "shape": (16, 16), "noise": 0.01, "seed": 1},
    ],
)


def _spread(images: np.ndarray) -> float:
    """Mean distance of images from their mean, pixel by pixel, as a standard deviation."""
    around = images - images.mean(axis=0)
    return float(np.sqrt(np.sum(np.abs(around) ** 2) / (len(images) - 1)))


@CASES
def test_fast_samples_lie_around_the_exact_posterior_mean(gaussian, case):
    case = gaussian(**case)
    images = _fast(case, samples=32).images.numpy()
    assert images.shape == (32, *case.problem.shape)
    conventional = case.distance(case.problem.initial_image)
    assert case.distance(images.mean(axis=0)) < min(case.spread, 0.55 * conventional)
    assert max(case.distance(image) for image in images) < min(2 * case.spread, 0.8 * conventional)
    # Samples near the mean: their spread tells the order of magnitude, from below.
    assert 0.25 < _spread(images) / np.linalg.norm(case.std) < 1.1


@pytest.mark.parametrize("seed", [0, 1])
def test_paper_samples_lie_around_the_exact_posterior_mean(gaussian, seed):
    """With one coil, where the prior of the image is the prior of the coil image."""
    case = gaussian(coils=1, shape=(16, 16), seed=seed)
    images = _paper(case, samples=8).images.numpy()
    assert images.shape == (8, 16, 16)
    conventional = case.distance(case.problem.initial_image)
    assert case.distance(images.mean(axis=0)) < min(1.1 * case.spread, 0.5 * conventional)
    assert max(case.distance(image) for image in images) < 2 * case.spread
    assert 0.7 < _spread(images) / np.linalg.norm(case.std) < 1.6


@pytest.mark.parametrize("corrector_steps", [0, 1])
def test_without_data_the_paper_sampler_draws_from_the_prior(gaussian, corrector_steps):
    case = gaussian(coils=1, shape=(16, 16))
    chain = {"lam": (0.0, 0.0), "corrector_steps": corrector_steps}
    images = _paper(case, samples=16, **chain).images.numpy()
    std = np.linalg.norm((2 * case.prior.variance).sqrt().numpy())
    assert _spread(images) == pytest.approx(std, rel=0.12)
    assert np.linalg.norm(images.mean(axis=0) - case.prior.mean.numpy()) < 1.3 * std / 16**0.5


def test_noise_of_the_data_is_not_imposed_on_the_image(gaussian):
    case = gaussian(coils=1, shape=(16, 16), noise=0.2)
    images = _paper(case, samples=8).images.numpy()
    assert case.distance(images.mean(axis=0)) < 0.8 * case.spread
    assert 0.5 < case.residual(images[0]) < 1.1


def test_many_more_steps_come_closer_to_the_posterior(gaussian):
    case = gaussian(coils=1, shape=(16, 16), seed=1)
    few, many = (_paper(case, steps=n, samples=4).images.numpy() for n in (15, 150))
    assert case.distance(many.mean(axis=0)) < 0.7 * case.distance(few.mean(axis=0))


@CASES
def test_measured_points_agree_with_the_measurement(gaussian, case):
    case = gaussian(**case)
    for image in _fast(case, samples=4).images:
        assert case.residual(image) < 1.1
    assert case.residual(case.prior.mean) > 2


def test_measured_points_of_the_paper_sampler_agree_with_the_measurement(gaussian):
    case = gaussian(coils=1, shape=(16, 16))
    assert case.residual(_paper(case).images[0]) < 1.6
    assert case.residual(_paper(case, lam=(0.0, 0.0)).images[0]) > 3


def test_the_joint_step_makes_the_coils_agree(gaussian, gaussian_prior):
    """Algorithm 5 against Algorithm 4, with a prior that fits images and coil images alike."""
    case = gaussian(coils=4, acceleration=2, shape=(16, 16))
    head = case.prior.variance > 0.01
    case = replace(case, prior=gaussian_prior(torch.zeros(16, 16), torch.where(head, 0.25, 1e-4)))
    errors = [
        np.linalg.norm(_paper(case, joint_every=m).images[0].abs().numpy() - np.abs(case.truth))
        for m in (0, 10, 2)
    ]
    assert errors[1] < 0.7 * errors[0]
    assert errors[2] < errors[1]


@SAMPLERS
def test_one_seed_is_one_image_bit_for_bit(gaussian, sample):
    case = gaussian()
    one, same, other = (sample(case, steps=12, seed=seed).images.numpy() for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert np.linalg.norm(one - other) > 1e-3 * np.linalg.norm(one)


@SAMPLERS
def test_samples_differ(gaussian, sample):
    images = sample(gaussian(), steps=12, samples=3).images.numpy()
    assert len(images) == 3
    assert _spread(images[:2]) > 0
    assert _spread(images[1:]) > 0


@SAMPLERS
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_any_number_of_steps_gives_an_image(gaussian, sample, steps):
    image = sample(gaussian(shape=(9, 12)), steps=steps).images
    assert image.shape == (1, 9, 12)
    assert torch.isfinite(image.abs()).all()


@SAMPLERS
def test_data_without_noise_give_an_image(gaussian, sample):
    case = gaussian()
    images = sample(case, problem=case.without_noise_level(), steps=12).images
    assert torch.isfinite(images.abs()).all()


@SAMPLERS
def test_progress_counts_up_to_the_end(gaussian, sample):
    told = []
    sample(gaussian(), steps=4, samples=2, report=lambda done, steps: told.append((done, steps)))
    assert told[-1][0] == told[-1][1] == len(told)
    assert [done for done, _ in told] == list(range(1, len(told) + 1))


@SAMPLERS
@pytest.mark.parametrize("samples", [1, 3])
def test_evaluations_are_counted_as_they_are_made(gaussian, sample, samples):
    case = gaussian()
    assert sample(case, steps=6, samples=samples).evaluations * samples == case.prior.images


def test_the_paper_sampler_evaluates_every_coil_at_every_step_and_correction(gaussian):
    case = gaussian()
    assert _paper(case, steps=6, corrector_steps=2).evaluations == 6 * 3 * len(case.problem.data)


@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_fast_finds_out_that_the_scale_was_wrong(gaussian, factor):
    """As where an image without its brightest lines looks darker than it is."""
    case = gaussian(acceleration=2, shape=(16, 16))
    wrong = replace(
        case.problem,
        data=factor * case.problem.data,
        initial_image=factor * case.problem.initial_image,
        noise_std=factor * case.problem.noise_std,
    )
    right = case.distance(_fast(case).images[0].numpy())
    assert case.distance(_fast(case, problem=wrong).images[0].numpy() / factor) < 1.2 * right


@pytest.mark.parametrize(
    ("centre_sampled", "from_centre", "fits_and_steps"),
    [(True, True, (4, 0)), (False, True, (0, 0)), (False, False, (0, 8))],
)
def test_fast_refits_the_coils_or_keeps_them_or_finds_them_together_with_the_image(
    gaussian, monkeypatch, centre_sampled, from_centre, fits_and_steps
):
    fits, steps = [], []
    refitted, solve = CoilModel.refitted, JointStep.solve
    monkeypatch.setattr(
        CoilModel, "refitted", lambda *arguments: fits.append(arguments) or refitted(*arguments)
    )
    monkeypatch.setattr(
        JointStep, "solve", lambda *a, **names: steps.append(names) or solve(*a, **names)
    )
    case = gaussian()
    coils = replace(case.problem.coils, from_centre=from_centre)
    problem = replace(case.problem, coils=coils, centre_sampled=centre_sampled)
    _fast(case, steps=9, problem=problem)
    assert (len(fits), len(steps)) == fits_and_steps


def test_the_residual_is_what_the_image_leaves_of_the_data(gaussian):
    case = gaussian(shape=(16, 16))
    kept = replace(case.problem, centre_sampled=False)
    found = _fast(case, problem=kept)
    assert found.residual == pytest.approx(case.residual(found.images[0]), rel=1e-4)
    assert 0.5 < found.residual < 1.1
    turned = torch.tensor([1, 1j, 1, 1j])[:, None, None]
    assert _fast(case, problem=replace(kept, data=turned * kept.data)).residual > 2


def test_noise_levels_fall_over_the_range_of_the_sampler(gaussian):
    case = gaussian()
    _fast(case, steps=8)
    levels = case.prior.levels[:-1]
    error = expected_error(
        case.problem.sampling, case.problem.coils.maps, case.problem.initial_image
    )
    assert levels[0] == pytest.approx(min(max(fast.START_FACTOR * error, 0.2), 1.5))
    assert all(a > b for a, b in pairwise(levels))
    # Four coils determine all that is not sampled, and so bring in the noise of complete data.
    chain = fast._Chain(case.problem, 7, samples=1, seed=0, prior=case.prior)
    assert levels[-1] == pytest.approx(chain.image_noise)
    assert chain.image_noise == pytest.approx(case.problem.noise_std, rel=0.05)
    case = gaussian()
    _paper(case, steps=6, corrector_steps=0)
    assert case.prior.levels[0] == pytest.approx(case.prior.sigma_max)
    assert case.prior.levels[-1] == pytest.approx(case.prior.sigma_min)


def test_a_prior_that_goes_astray_changes_no_pixel_by_more_than_noise(gaussian):
    case = gaussian()
    image = torch.zeros(2, *case.problem.shape, dtype=torch.complex64)

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        changed = 0.9 * x
        changed[:, 3, 4] += 1000
        return changed

    case.prior.denoise = denoise
    denoiser = LimitedDenoiser(case.prior)
    one, other = denoiser([image, image + 0.1], [0.1, 2.0], 0)
    denoiser.check()  # one pixel is no reason to believe nothing
    assert float(one[0, 3, 4].abs()) == pytest.approx(0.5)
    assert float((other[0, 3, 4] - 0.1).abs()) == pytest.approx(10)
    torch.testing.assert_close(other[0, 5, 5], torch.tensor(0.09 + 0j))


def test_a_prior_that_goes_astray_for_one_image_of_a_batch_is_noticed(gaussian):
    case = gaussian()
    image = torch.zeros(1, *case.problem.shape, dtype=torch.complex64)
    case.prior.denoise = lambda x, sigma: torch.where(x.abs() > 0.5, 100 * x, x)
    denoiser = LimitedDenoiser(case.prior)
    denoiser([image, image, image + 1], [0.1, 0.1, 0.1], 0)
    with pytest.raises(ReconError, match="100% of the pixels"):
        denoiser.check()


@pytest.mark.parametrize("count", [7, 8])
def test_noise_cancels_in_pairs_of_levels_and_the_last_has_its_partner(gaussian, count):
    case = gaussian()
    chain = fast._Chain(case.problem, count, samples=2, seed=0, prior=case.prior)
    noise = [(chain.add_noise(i) - chain.images) / chain.levels[i] for i in range(count)]
    for before, last in zip(noise[-2::-2], noise[::-2], strict=False):
        torch.testing.assert_close(last, -before, rtol=1e-4, atol=1e-4)
    for one, next_one in zip(noise[-3::-2], noise[-2::-2], strict=False):
        assert float((one + next_one).abs().mean()) > 0.5


def test_noise_of_a_seed_has_unit_variance_in_both_parts():
    draw = [
        complex_noise((200, 100), torch.Generator().manual_seed(3), torch.device("cpu"))
        for _ in range(2)
    ]
    torch.testing.assert_close(draw[0], draw[1], rtol=0, atol=0)
    assert draw[0].dtype == torch.complex64
    for part in (draw[0].real, draw[0].imag):
        assert float(part.std()) == pytest.approx(1, abs=0.02)
        assert float(part.mean()) == pytest.approx(0, abs=0.02)
    assert abs(float((draw[0].real * draw[0].imag).mean())) < 0.02

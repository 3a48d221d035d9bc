from __future__ import annotations

import logging
import time
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from gadget.diffusion.reconstruct import Reconstructor
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError, DataError, ReconError, StreamError
from gadget.mri.coils.calibration import calibrate
from gadget.mri.kspace import KSpace
from gadget.mri.operators.fourier import fftc, ifftc
from gadget.mri.phantoms.scanner import coil_maps, correlated_noise
from gadget.mri.sampling.echo import echo_phase

METHODS = pytest.mark.parametrize("method", ["fast", "paper", "sense", "fft"])
VARIANCE = 0.05
SETTINGS = {
    "fast": {"steps": 6},
    # So few steps need full trust in the data, and no corrector for a prior as broad as this.
    "paper": {"steps": 12, "corrector_steps": 0, "lam_end": 1.0},
}


class SmoothPrior:
    """A prior that knows little: values are normal around 0. It records and may misbehave."""

    name = "smooth"
    sha256 = "0" * 64
    sigma_min = 0.01
    sigma_max = 10.0
    any_orientation = True
    device = torch.device("cpu")

    def __init__(
        self,
        failure: Exception | None = None,
        value: float | None = None,
        clock: Clock | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.failure = failure
        self.value = value
        self.clock = clock
        self.seconds = seconds
        self.shapes: set[tuple[int, ...]] = set()
        self.inputs: list[torch.Tensor] = []
        self.lowest_level, self.highest_level = np.inf, 0.0

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        if self.failure is not None:
            raise self.failure
        if self.clock is not None:
            self.clock.now += self.seconds * len(x)
        self.shapes.add(tuple(x.shape))
        self.inputs.append(x)
        self.lowest_level = min(self.lowest_level, float(torch.as_tensor(sigma).min()))
        self.highest_level = max(self.highest_level, float(torch.as_tensor(sigma).max()))
        if self.value is not None:
            return torch.full_like(x, self.value)
        return x * VARIANCE / (VARIANCE + torch.as_tensor(sigma).reshape(-1, 1, 1) ** 2)


def _reconstructor(method: str, prior=None, **settings) -> Reconstructor:
    settings = SETTINGS.get(method, {}) | settings
    return Reconstructor(
        SamplerSettings(method=method, device="cpu", **settings), prior or SmoothPrior()
    )


def _scaled(kspace: KSpace, factor: float) -> KSpace:
    return replace(kspace, data=kspace.data * np.float32(factor))


def _volume(measure, kind: str, partitions: int = 6, coils: int = 5):
    """A simulated volume `[z, y, x]` and its k-space; `kind` says how partitions were sampled."""
    plane = measure((24, 20), noise=0, coils=coils).image
    profile = np.linspace(0.6, 1.2, partitions) * np.exp(1j * np.linspace(0, 1, partitions))
    volume = profile[:, None, None] * plane
    kspace = fftc(coil_maps(coils, (24, 20))[:, None] * volume, (1, 2, 3))
    noise = correlated_noise(np.eye(coils), volume.size, np.random.default_rng(0))
    kspace += 1e-3 * noise.reshape(kspace.shape)
    mask = np.zeros(volume.shape, bool)
    mask[:, ::2] = mask[:, 7:17] = True
    if kind == "kz and ky":
        mask[1::2, ::2] = False
        mask[1::2, 1::2] = mask[:, 7:17] = True
    return volume, KSpace((kspace * mask).astype(np.complex64), mask.astype(np.float32))


def _error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(np.abs(image) - np.abs(truth)) / np.linalg.norm(truth))


@METHODS
@pytest.mark.parametrize(
    ("shape", "coils"), [((32, 32), 4), ((31, 45), 3), ((40, 17), 1), ((14, 17), 2)]
)
def test_any_matrix_and_any_number_of_coils(measure, method, shape, coils):
    scan = measure(shape, coils=coils, mask=np.ones(shape, bool))
    prior = SmoothPrior()
    result = _reconstructor(method, prior, noise_std=0.001).reconstruct(scan.kspace)
    assert (result.method, result.fallback) == (method, None)
    assert result.image.shape == (1, *shape)
    assert result.image.dtype == np.complex64
    # The noise is told: so small a matrix has no edge of k-space to estimate it from.
    worst = {"fast": 0.05, "paper": 0.2, "sense": 0.05, "fft": 0.02}
    assert scan.error(result.image) < worst[method]
    assert all(sorted(seen[1:]) == sorted(shape) for seen in prior.shapes)
    assert bool(prior.shapes) == (method in SETTINGS)


@pytest.mark.parametrize("method", ["fast", "sense"])
def test_undersampled_data_give_a_better_image_than_the_fourier_transform(measure, method):
    scan = measure(coils=6, acceleration=3)
    images = [_reconstructor(name).reconstruct(scan.kspace).image for name in (method, "fft")]
    assert scan.error(images[0]) < 0.25 * scan.error(images[1])


@METHODS
@pytest.mark.parametrize("factor", [2.0**-20, 2.0**13])  # nothing is rounded
def test_an_image_has_the_scale_of_its_data(measure, method, factor):
    scan = measure((32, 32), coils=4, noise=0.02)
    one, scaled = (
        _reconstructor(method).reconstruct(kspace)
        for kspace in (scan.kspace, _scaled(scan.kspace, factor))
    )
    assert scaled.method == method
    tolerance = 1e-5 * np.abs(one.image).max()
    np.testing.assert_allclose(scaled.image / np.float32(factor), one.image, atol=tolerance)


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_the_prior_sees_bright_tissue_near_one(measure, method):
    scan = measure((32, 32))
    for factor in (1.0, 200.0):
        prior = SmoothPrior()
        _reconstructor(method, prior).reconstruct(_scaled(scan.kspace, factor))
        last = torch.linalg.vector_norm(prior.inputs[-1], dim=0)
        if method == "fast":
            assert float(torch.quantile(last, 0.95)) == pytest.approx(1.0, abs=0.15)
        assert last.max() < 2


@METHODS
@pytest.mark.parametrize("samples", [1, 2])
def test_data_of_zeros_give_an_image_of_zeros(method, samples):
    kspace = KSpace(np.zeros((3, 1, 16, 12), np.complex64), np.ones((1, 16, 12), np.float32))
    result = _reconstructor(method, samples=samples).reconstruct(kspace)
    assert (result.method, result.fallback) == (method, None)
    assert result.image.shape == (1, 16, 12)
    assert not result.image.any()
    if result.std is not None:
        assert not result.std.any()


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_one_seed_is_one_image_bit_for_bit(measure, method):
    kspace = measure((24, 24)).kspace
    one, same, other = (_reconstructor(method, seed=seed).reconstruct(kspace) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.image, same.image)
    assert (one.image != other.image).any()
    assert one.details["seed"] == 3


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_several_samples_give_their_mean_and_standard_deviation(measure, method):
    scan = measure((24, 24), noise=0.05)
    assert _reconstructor(method).reconstruct(scan.kspace).std is None
    result = _reconstructor(method, samples=3).reconstruct(scan.kspace)
    assert result.image.shape == result.std.shape == (1, 24, 24)
    assert result.std.dtype == np.float32
    assert 0 < result.std.mean() < 0.3
    assert result.details["samples"] == 3
    larger = _reconstructor(method, samples=3).reconstruct(_scaled(scan.kspace, 50))
    assert larger.std.mean() == pytest.approx(50 * result.std.mean(), rel=0.05)


class Clock:
    """Time that passes where the prior works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _timed(clock: Clock, deadline_s: float, seconds: float, **settings) -> Reconstructor:
    settings = SamplerSettings(device="cpu", deadline_s=deadline_s, **settings)
    return Reconstructor(settings, SmoothPrior(clock=clock, seconds=seconds), clock)


@pytest.mark.parametrize("method", ["sense", "fft"])
def test_a_method_without_samples_says_so(method, caplog):
    Reconstructor(SamplerSettings(method=method))
    assert not caplog.messages
    Reconstructor(SamplerSettings(method=method, samples=4))
    assert caplog.messages == [
        f"The setting 'samples' is for fast and paper: {method} gives one image, without a "
        "standard deviation."
    ]


def test_a_deadline_costs_steps(measure):
    clock = Clock()
    reconstructor = _timed(clock, 10, seconds=0.5)
    for _ in range(2):
        started = clock.now
        result = reconstructor.reconstruct(measure((24, 24)).kspace)
        assert (result.method, result.fallback) == ("fast", None)
        assert 14 <= result.details["steps"] <= 18
        assert result.details["evaluations"] == result.details["steps"]
        assert 8 < clock.now - started <= 10
    unhurried = _timed(clock, 1000, seconds=0.5).reconstruct(measure((24, 24)).kspace)
    assert unhurried.details["steps"] == 30


def test_a_deadline_holds_for_all_planes_together(measure):
    clock = Clock()
    _, kspace = _volume(measure, "ky", partitions=4)
    result = _timed(clock, 40, seconds=0.5).reconstruct(kspace)
    assert result.method == "fast"
    assert 30 < clock.now <= 40


def test_the_samples_of_the_published_sampler_share_the_time(measure):
    clock = Clock()
    reconstructor = _timed(clock, 40, seconds=0.1, method="paper", samples=3)
    result = reconstructor.reconstruct(measure((24, 24)).kspace)
    assert (result.method, result.fallback) == ("paper", None)
    assert 20 < clock.now <= 40


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_a_sampler_that_would_be_late_leaves_the_image_to_another(measure, caplog, method):
    scan = measure((24, 24))
    clock = Clock()
    result = _timed(clock, 3, seconds=2, method=method).reconstruct(scan.kspace)
    assert result.method == "sense"
    assert "deadline_s" in result.fallback
    assert "Traceback" not in caplog.text
    expected = _reconstructor("sense").reconstruct(scan.kspace).image
    np.testing.assert_array_equal(result.image, expected)


def test_what_the_sampler_began_with_is_not_computed_again_when_it_is_late(measure, monkeypatch):
    calibrations = Mock(wraps=calibrate)
    monkeypatch.setattr("gadget.diffusion.volume.calibrate", calibrations)
    _, kspace = _volume(measure, "ky", partitions=4)
    result = _timed(Clock(), 3, seconds=2, samples=2).reconstruct(kspace)
    assert (result.method, result.std) == ("sense", None)
    assert "steps" not in result.details
    assert calibrations.call_count == 4
    expected = _reconstructor("sense").reconstruct(kspace).image
    np.testing.assert_array_equal(result.image, expected)


def test_a_sampler_that_slows_down_is_stopped_in_time(measure):
    scan = measure((24, 24))
    clock = Clock()
    reconstructor = _timed(clock, 10, seconds=0.1)
    assert reconstructor.reconstruct(scan.kspace).method == "fast"
    reconstructor.prior.seconds = 3
    started = clock.now
    result = reconstructor.reconstruct(scan.kspace)
    assert result.method == "sense"
    assert "are over" in result.fallback
    assert clock.now - started <= 13
    reconstructor.prior.seconds = 0.5
    assert reconstructor.reconstruct(scan.kspace).method == "fast"


@pytest.mark.parametrize("method", ["fast", "paper", "sense"])
def test_late_conventional_images_leave_the_volume_to_the_quickest_method(
    measure, monkeypatch, method
):
    clock = Clock()

    def slowly(*arguments):
        clock.now += 2
        return calibrate(*arguments)

    calibrations = Mock(wraps=slowly)
    monkeypatch.setattr("gadget.diffusion.volume.calibrate", calibrations)
    _, kspace = _volume(measure, "ky", partitions=4)
    result = _timed(clock, 3, seconds=0.1, method=method).reconstruct(kspace)
    assert result.method == "fft"
    assert "sense: the 3 s that deadline_s allows are over" in result.fallback
    assert calibrations.call_count <= 2
    assert clock.now < 106


def test_the_quickest_method_has_no_deadline(measure):
    settings = SamplerSettings(method="fft", device="cpu", deadline_s=1e-9)
    result = Reconstructor(settings).reconstruct(measure((24, 24)).kspace)
    assert (result.method, result.fallback) == ("fft", None)


@pytest.mark.parametrize("value", [2e19, 1e25, 3e37])
@pytest.mark.parametrize("method", ["fast", "sense"])
def test_a_sample_that_no_receiver_sends_is_not_measured(measure, method, value):
    scan = measure((24, 24), mask=np.ones((24, 24), bool))
    scan.kspace.data[0, 0, 5, 3] = value
    result = _reconstructor(method).reconstruct(scan.kspace)
    assert (result.method, result.fallback) == (method, None)
    assert scan.error(result.image) < 0.1


def test_the_prior_is_not_asked_below_its_noise_levels(measure):
    """Data without noise need no denoising; a network knows nothing of such levels."""
    prior = SmoothPrior()
    result = _reconstructor("fast", prior).reconstruct(measure((48, 48), noise=0).kspace)
    assert (result.method, result.fallback) == ("fast", None)
    assert prior.lowest_level == pytest.approx(prior.sigma_min)


@METHODS
def test_a_damaged_sample_counts_as_not_measured(measure, method, caplog):
    scan = measure((24, 24), acceleration=1.5)
    damaged = replace(scan.kspace, data=scan.kspace.data.copy())
    damaged.data[0, 0, 12, 3] = np.nan
    result = _reconstructor(method).reconstruct(damaged)
    assert (result.method, result.fallback) == (method, None)
    assert np.isfinite(result.image).all()
    assert "1 points hold samples that are no numbers" in caplog.text
    whole = np.abs(_reconstructor(method).reconstruct(scan.kspace).image)
    assert np.linalg.norm(np.abs(result.image) - whole) < 0.4 * np.linalg.norm(whole)


@METHODS
def test_damaged_samples_alone_are_no_image(measure, method):
    kspace = measure((24, 24)).kspace
    with pytest.raises(DataError, match="no image of them"):
        _reconstructor(method).reconstruct(replace(kspace, data=kspace.data * np.float32(np.nan)))


@pytest.mark.parametrize(("lowest", "highest"), [(0.002, 0.05), (0.3, 10.0), (0.3, 0.4)])
def test_a_prior_is_asked_at_its_own_noise_levels_alone(measure, lowest, highest):
    """And the noise that is added is what it is told."""
    prior = SmoothPrior()
    prior.sigma_min, prior.sigma_max = lowest, highest
    scan = measure((48, 48))
    result = _reconstructor("fast", prior).reconstruct(scan.kspace)
    assert (result.method, result.fallback) == ("fast", None)
    assert lowest <= prior.lowest_level * 1.000001
    assert prior.highest_level <= highest * 1.000001


def test_air_is_not_taken_for_an_object_of_ever_less_brightness():
    """Planes of a volume beside the object hold noise, which the prior makes darker each time."""
    mask = np.zeros((1, 64, 48), np.float32)
    mask[:, ::3] = mask[:, 28:36] = 1
    noise = np.random.default_rng(0).normal(size=(6, 1, 64, 48, 2)) @ [1, 1j]
    air = KSpace((noise * mask).astype(np.complex64), mask)
    prior = SmoothPrior()
    result = _reconstructor("fast", prior, steps=30).reconstruct(air)
    assert (result.method, result.fallback) == ("fast", None)
    assert prior.highest_level <= 1.5
    assert np.abs(result.image).max() < 10


def test_a_sampler_that_goes_astray_is_replaced(measure):
    result = _reconstructor("fast", SmoothPrior(value=1e5)).reconstruct(measure((24, 24)).kspace)
    assert result.method == "sense"
    assert "astray" in result.fallback


@pytest.mark.gpu
def test_a_device_that_is_out_of_memory_leaves_the_work_to_the_cpu(measure):
    reconstructor = Reconstructor(SamplerSettings(device="cuda", steps=3))
    reconstructor.reconstruct(measure((64, 64)).kspace)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        result = reconstructor.reconstruct(measure((256, 256)).kspace)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (result.method, result.fallback) == ("fast", None)
    assert result.details["device"].startswith("cpu")


def test_a_model_that_finds_no_room_costs_quality_and_not_the_image(measure, monkeypatch):
    def full(module, *_, **__):
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "to", full)
        reconstructor = Reconstructor(SamplerSettings(steps=3, model="brain-small", device="cpu"))
        reconstructor.prepare()
        result = reconstructor.reconstruct(measure((24, 24)).kspace)
    assert result.method == "sense"
    assert "The memory of cpu is too full for the model brain-small" in result.fallback
    # There is room again.
    later = reconstructor.reconstruct(measure((24, 24)).kspace)
    assert (later.method, later.fallback) == ("fast", None)


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["sense", "fast"])
@pytest.mark.parametrize("centre", [True, False])
def test_a_gpu_gives_the_image_that_a_cpu_gives(measure, method, centre):
    lines = np.random.default_rng(0).random(96) < 0.4
    lines[44:52] = centre
    scan = measure((96, 80), mask=np.broadcast_to(lines[:, None], (96, 80)))
    there, again, here = (
        Reconstructor(SamplerSettings(method=method, device=device, model="brain-small"))
        .reconstruct(scan.kspace)
        .image
        for device in ("cuda", "cuda", "cpu")
    )
    np.testing.assert_array_equal(there, again)
    assert np.linalg.norm(there - here) < 0.02 * np.linalg.norm(here)


@pytest.mark.parametrize("method", ["sense", "fft"])
def test_methods_without_chance_have_no_standard_deviation(measure, method):
    result = _reconstructor(method, samples=3).reconstruct(measure((24, 24)).kspace)
    assert result.std is None


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("the kernel is cursed\nand more"),
        ValueError("the kernel is cursed"),
        IndexError("the kernel is cursed"),
        TypeError("the kernel is cursed"),
        KeyError("the kernel is cursed"),
        AssertionError("the kernel is cursed"),
        MemoryError("the kernel is cursed"),
        torch.OutOfMemoryError("the kernel is cursed"),
        ZeroDivisionError("the kernel is cursed"),
    ],
    ids=lambda failure: type(failure).__name__,
)
@pytest.mark.parametrize("method", ["fast", "paper"])
def test_a_prior_that_raises_costs_quality_and_not_the_image(measure, caplog, method, failure):
    scan = measure((24, 24))
    result = _reconstructor(method, SmoothPrior(failure)).reconstruct(scan.kspace)
    assert result.method == "sense"
    assert result.fallback.startswith(f"{method}: ")
    assert "the kernel is cursed" in result.fallback
    assert "and more" not in result.fallback
    assert f"fallback {result.fallback}" in result.summary
    expected = _reconstructor("sense").reconstruct(scan.kspace).image
    np.testing.assert_array_equal(result.image, expected)
    assert "a simpler method takes over" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["fast", "paper"])
def test_a_prior_that_gives_no_numbers_costs_quality_and_not_the_image(
    measure, caplog, method, value
):
    scan = measure((24, 24))
    result = _reconstructor(method, SmoothPrior(value=value)).reconstruct(scan.kspace)
    # Our own errors are sentences; tracebacks are for those of the program.
    assert "a simpler method takes over" in caplog.text
    assert "Traceback" not in caplog.text
    assert result.method == "sense"
    # Infinite changes are limited, and too many.
    reason = "astray" if (method, value) == ("fast", np.inf) else "not finite"
    assert reason in result.fallback
    assert scan.error(result.image) < 0.05


@METHODS
def test_data_that_overflow_give_an_image_all_the_same(measure, method):
    scan = measure((24, 24), mask=np.ones((24, 24), bool))
    result = _reconstructor(method).reconstruct(_scaled(scan.kspace, 1e17))
    assert np.isfinite(result.image).all()
    assert scan.error(result.image / np.float32(1e17)) < 0.1


@pytest.mark.parametrize("method", ["fast", "paper"])
def test_a_model_that_is_not_there_is_an_error_and_not_a_fallback(measure, method):
    settings = SamplerSettings(method=method, device="cpu", model="no-such-model")
    with pytest.raises(ConfigError, match="no model 'no-such-model'"):
        Reconstructor(settings).reconstruct(measure((24, 24)).kspace)


@pytest.mark.parametrize("method", ["sense", "fft"])
def test_methods_without_a_prior_need_no_model(measure, method):
    settings = SamplerSettings(method=method, device="cpu", model="no-such-model")
    scan = measure((24, 24), mask=np.ones((24, 24), bool))
    assert scan.error(Reconstructor(settings).reconstruct(scan.kspace).image) < 0.05


@pytest.mark.parametrize("name", ["cuda:63", "abacus"])
def test_a_device_that_is_not_there_is_an_error_and_not_a_fallback(measure, name):
    settings = SamplerSettings(method="fast", device=name)
    with pytest.raises(ConfigError, match=name):
        Reconstructor(settings, SmoothPrior()).reconstruct(measure((24, 24)).kspace)


@pytest.mark.parametrize("method", ["fast", "sense"])
def test_lines_along_either_axis_give_the_same_image(measure, method):
    """Undersampled rows are reconstructed on their side, unless the prior knows upright images."""
    scan = measure((32, 24), noise=0.001)
    upright = SmoothPrior()
    upright.any_orientation = False
    turned = KSpace(
        np.ascontiguousarray(scan.kspace.data.swapaxes(2, 3)), scan.kspace.weight.swapaxes(1, 2)
    )
    sideways = _reconstructor(method, SmoothPrior()).reconstruct(scan.kspace).image
    as_it_is = _reconstructor(method, upright).reconstruct(scan.kspace).image
    turned_back = _reconstructor(method, SmoothPrior()).reconstruct(turned).image.swapaxes(1, 2)
    assert _error(turned_back, sideways) < 0.001
    # In another orientation the sampler's noise is another one, and this prior keeps much of it.
    assert _error(as_it_is, sideways) < {"fast": 0.08, "sense": 0.001}[method]
    assert max(scan.error(sideways), scan.error(as_it_is)) < 0.1
    assert upright.shapes <= {(1, 32, 24)}


@METHODS
@pytest.mark.parametrize("offset", [(0, 15), (14, 0), (0, -20)])
def test_where_the_echo_lies_changes_nothing_but_a_gradient_of_the_phase(measure, method, offset):
    scan = measure((48, 56), noise=0.001)
    prior = SmoothPrior()
    moved = KSpace(
        np.roll(scan.kspace.data, offset, (2, 3)), np.roll(scan.kspace.weight, offset, (1, 2))
    )
    reconstructor = _reconstructor(method, prior, noise_std=0.001)
    image = reconstructor.reconstruct(scan.kspace).image[0]
    moved_image = reconstructor.reconstruct(moved).image[0]
    assert _error(moved_image, image) < 1e-3
    if method != "fft":
        np.testing.assert_allclose(
            moved_image, image * echo_phase((48, 56), offset), atol=1e-2 * np.abs(image).max()
        )


@pytest.mark.parametrize("kind", ["ky", "kz and ky"])
@pytest.mark.parametrize("method", ["fast", "sense"])
def test_volumes(measure, method, kind):
    volume, kspace = _volume(measure, kind)
    prior = SmoothPrior()
    result = _reconstructor(method, prior).reconstruct(kspace)
    assert (result.method, result.fallback) == (method, None)
    assert _error(result.image, volume) < 0.05
    zero_filled = np.linalg.norm(ifftc(kspace.data, (1, 2, 3)), axis=0)
    assert _error(result.image, volume) < 0.3 * _error(zero_filled, volume)
    if method == "fast":
        # Planes beside the object are noise, which is at the edges but does not fold.
        shapes = {(20, 24) if kind == "ky" else (6, 24)}
        assert {tuple(sorted(seen[1:])) for seen in prior.shapes} == shapes


def test_an_empty_slice_of_a_volume_stays_empty(measure):
    volume, _ = _volume(measure, "ky")
    volume[2] = 0
    kspace = fftc(coil_maps(5, (24, 20))[:, None] * volume, (1, 2, 3)).astype(np.complex64)
    weight = np.ones(volume.shape, np.float32)
    result = _reconstructor("fast", samples=2).reconstruct(KSpace(kspace, weight))
    assert np.isfinite(result.std).all()
    assert np.abs(result.image[2]).max() < 0.05
    assert _error(result.image, volume) < 0.05


@pytest.mark.parametrize("method", ["fast", "paper", "sense"])
def test_calibration_lines_apart_give_the_coils_and_not_the_image(measure, method):
    """Every third line and no centre: alone that is aliased; other lines give the coils."""
    lines = np.zeros((48, 48), bool)
    lines[::3] = True
    scan = measure(mask=lines, coils=6, noise=1e-3)
    centre = np.zeros((48, 48), bool)
    centre[16:32] = True
    other = measure(mask=centre, coils=6, noise=1e-3)
    # Another contrast, and another gain.
    reference = _scaled(other.kspace, -7)
    kspace = replace(scan.kspace, calibration=reference)
    alone, helped = (
        _reconstructor(method, joint_every=0).reconstruct(one) for one in (scan.kspace, kspace)
    )
    assert (helped.method, helped.fallback) == (method, None)
    if method == "paper":
        assert (helped.image != alone.image).any()
    else:
        # CG-SENSE has nothing but the maps against the aliasing.
        assert scan.error(helped.image) < {"fast": 0.05, "sense": 0.1}[method]
        assert scan.error(helped.image) < 0.3 * scan.error(alone.image)


def test_fewer_calibration_lines_than_the_image_has_are_not_used(measure):
    lines = np.zeros((48, 48), bool)
    lines[::3] = lines[18:30] = True
    scan = measure(mask=lines, coils=6, noise=1e-3)
    few = np.zeros((48, 48), bool)
    few[22:26] = True
    kspace = replace(scan.kspace, calibration=measure(mask=few, coils=6, noise=1e-3).kspace)
    alone, both = (_reconstructor("sense").reconstruct(one) for one in (scan.kspace, kspace))
    np.testing.assert_array_equal(both.image, alone.image)


@pytest.mark.parametrize("block", [False, True], ids=["alike", "block"])
def test_calibration_lines_apart_in_a_volume(measure, block):
    """The lines are cut along the image's axis, even where their own pattern suggests another."""
    volume, _ = _volume(measure, "ky", partitions=8)
    mask = np.zeros(volume.shape, np.float32)
    mask[:, ::3] = 1
    centre = np.zeros(volume.shape, np.float32)
    centre[:, 5:19] = 1
    if block:
        centre[:2] = centre[6:] = 0
    everything = fftc(coil_maps(5, (24, 20))[:, None] * volume, (1, 2, 3)).astype(np.complex64)
    kspace = KSpace(everything * mask, mask, KSpace(everything * centre, centre))
    result = _reconstructor("sense").reconstruct(kspace)
    assert _error(result.image, volume) < 0.1


@pytest.mark.parametrize("undersampled", ["the edge that folds", "the other one"])
@pytest.mark.parametrize("lines", ["complete", "block"])
def test_images_reach_beyond_the_edge_where_they_are_undersampled(
    measure_folded, lines, undersampled
):
    """The pattern of calibration lines is their own, and may vary where the image's does not."""
    scan = measure_folded((48, 48), acceleration=1)
    mask, reference = np.zeros((1, 48, 48), np.float32), np.zeros((1, 48, 48), np.float32)
    folds = undersampled == "the edge that folds"
    mask[:, slice(None, None, 2 if folds else 1), slice(None, None, 1 if folds else 2)] = 1
    centre = slice(None) if lines == "complete" else slice(14, 34)
    reference[:, centre, centre] = 1
    data = scan.kspace.data
    calibration = KSpace(data * reference, reference)
    prior = SmoothPrior()
    result = _reconstructor("fast", prior).reconstruct(KSpace(data * mask, mask, calibration))
    assert (result.method, result.fallback) == ("fast", None)
    assert {tuple(sorted(seen[1:])) for seen in prior.shapes} == {(48, 60 if folds else 48)}
    if folds:
        assert scan.error(result.image) < 0.1


def test_noise_that_is_told_is_believed(measure):
    scan = measure(noise=0.02, size=0.5)
    told = _reconstructor("fast", noise_std=0.5).reconstruct(scan.kspace)
    assert told.details["noise_std"] == 0.5
    found = _reconstructor("fast").reconstruct(scan.kspace)
    assert found.details["noise_std"] == pytest.approx(0.02, rel=0.3)
    assert (told.image != found.image).any()


def test_details_say_how_the_image_was_made(measure):
    scan = measure((24, 24), acceleration=2)
    started = time.perf_counter()
    result = _reconstructor("fast", seed=9).reconstruct(scan.kspace)
    taken = time.perf_counter() - started
    details = result.details
    assert (details["steps"], details["evaluations"], details["seed"]) == (6, 6, 9)
    assert (details["model"], details["model_sha256"]) == ("smooth", "0" * 64)
    assert details["acceleration"] == pytest.approx(scan.kspace.acceleration, abs=1e-3)
    assert 1 <= details["virtual_coils"] <= 6
    assert 0 < details["residual"] < 1.5
    assert 0 < details["seconds"] < taken + 0.001
    assert result.summary.startswith(f"method fast, noise_std {details['noise_std']:.4g}, ")
    assert "fallback" not in result.summary


def test_noise_that_is_told_too_large_costs_no_coils(measure):
    kspace = measure(coils=8, noise=0.01).kspace
    counts = [
        _reconstructor("sense", noise_std=told).reconstruct(kspace).details["virtual_coils"]
        for told in (None, 0.1)
    ]
    assert counts[0] == counts[1] > 2


@pytest.mark.parametrize("averages", [1, 4])
def test_the_noise_of_many_coils_makes_no_virtual_ones(measure, averages):
    counts = []
    for noise in (0.001, 0.05):
        kspace = measure(coils=32, noise=noise / averages**0.5).kspace
        kspace = replace(kspace, weight=averages * kspace.weight)
        counts.append(_reconstructor("sense").reconstruct(kspace).details["virtual_coils"])
    assert 4 <= counts[1] <= counts[0] <= 12


def test_progress_counts_over_all_planes(measure):
    told = []
    _, kspace = _volume(measure, "ky", partitions=3)
    reconstructor = _reconstructor("fast", steps=2)
    reconstructor.reconstruct(kspace, lambda done, steps: told.append((done, steps)))
    assert told == [(3, 6), (6, 6)]


def test_when_nobody_waits_any_more_nothing_takes_over(measure):
    def gone(done: int, steps: int) -> None:
        raise StreamError("The other end is gone.")

    with pytest.raises(StreamError, match="is gone"):
        _reconstructor("fast").reconstruct(measure((24, 24)).kspace, gone)


def test_one_reconstructor_makes_many_images_alike(measure, caplog):
    caplog.set_level(logging.WARNING)
    reconstructor = _reconstructor("fast")
    kspaces = [measure((24, 24), seed=seed).kspace for seed in (0, 1, 0)]
    images = [reconstructor.reconstruct(kspace).image for kspace in kspaces]
    np.testing.assert_array_equal(images[0], images[2])
    assert (images[0] != images[1]).any()
    assert not caplog.records


def test_planes_of_a_volume_go_through_the_prior_together(measure):
    _, kspace = _volume(measure, "ky", partitions=3)
    reconstructor = _reconstructor("fast", samples=2)
    volume = reconstructor.reconstruct(kspace)
    assert reconstructor.prior.shapes <= {(6, 24, 20), (6, 20, 24)}
    planes = ifftc(kspace.data, (1,))
    for z in range(3):
        one = KSpace(planes[:, z : z + 1].astype(np.complex64), kspace.weight[:1])
        alone = _reconstructor("fast", samples=2, noise_std=volume.details["noise_std"])
        assert _error(alone.reconstruct(one).image[0], volume.image[z]) < 0.02


@METHODS
def test_buffers_together_become_the_images_that_each_becomes_alone(measure, method):
    kspaces = [measure((24, 24), seed=seed).kspace for seed in range(3)]
    kspaces.insert(1, measure((24, 30)).kspace)
    reconstructor = _reconstructor(method)
    results = reconstructor.reconstruct_batch(kspaces)
    for kspace, result in zip(kspaces, results, strict=True):
        alone = reconstructor.reconstruct(kspace)
        assert (result.method, result.fallback) == (method, None)
        np.testing.assert_allclose(result.image, alone.image, rtol=0, atol=1e-4 * alone.image.max())
        assert result.details.keys() == alone.details.keys()


def test_a_buffer_without_a_centre_takes_no_steps_of_others_that_have_one(measure):
    random = np.random.default_rng(0).random((24, 24)) < 0.5
    random[12] = False
    with_centre, without = measure((24, 24)).kspace, measure((24, 24), mask=random).kspace
    reconstructor = _reconstructor("fast", steps=None)
    results = reconstructor.reconstruct_batch([with_centre, without, with_centre])
    assert [result.details["steps"] for result in results] == [30, 40, 30]
    alone = reconstructor.reconstruct(with_centre).image
    np.testing.assert_array_equal(results[0].image, alone)


def test_how_many_buffers_go_together(measure):
    small, large = (
        measure((24, 24)).kspace,
        KSpace(np.zeros((1, 1, 256, 256), np.complex64), np.zeros((1, 256, 256), np.float32)),
    )
    fast = _reconstructor("fast")
    assert fast.batch_size(small) > 8
    assert fast.batch_size(large) == 1
    assert _reconstructor("fast", samples=4).batch_size(small) == fast.batch_size(small) // 4
    assert _reconstructor("fast", deadline_s=10).batch_size(small) == 1
    for method in ("paper", "sense", "fft"):
        assert _reconstructor(method).batch_size(small) == 1


def test_what_fails_together_is_told_and_not_hidden(measure):
    kspaces = [measure((24, 24), seed=seed).kspace for seed in range(2)]
    with pytest.raises(ReconError, match="not finite"):
        _reconstructor("fast", SmoothPrior(value=np.nan)).reconstruct_batch(kspaces)


def test_a_buffer_of_zeros_has_a_deviation_of_zeros(measure):
    kspace = _scaled(measure((24, 24)).kspace, 0)
    result = _reconstructor("fast", samples=2).reconstruct(kspace)
    assert (result.method, result.std is not None) == ("fast", True)
    assert not result.std.any()

"""Spikes go, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from gadget.mrd.readouts.spikes import remove_spikes
from gadget.mri.operators.fourier import fftc

WIDTH = 256
FIELD_OF_VIEW = 128


def noise(random, lines=16, coils=4):
    """Noise of unit power `[line, coil, kx]`."""
    shape = (lines, coils, WIDTH)
    complex_noise = random.normal(size=shape) + 1j * random.normal(size=shape)
    return (complex_noise / np.sqrt(2)).astype(np.complex64)


def spiked(kspace, line, time, values):
    """K-space with a spike of these values in the first coils, at a time between samples, too."""
    wave = np.exp(2j * np.pi * time * np.fft.fftfreq(WIDTH)) / np.sqrt(WIDTH)
    changed = kspace.astype(np.complex128)
    changed[line, : len(values)] += np.outer(values, np.fft.fft(wave, norm="ortho"))
    return changed.astype(np.complex64)


@np.errstate(invalid="ignore")
def cleaned(kspace):
    """K-space after the removal of spikes, and how many there were."""
    image = np.fft.ifft(kspace, norm="ortho").astype(np.complex64)
    count = remove_spikes(image, FIELD_OF_VIEW)
    return np.fft.fft(image, norm="ortho"), count


@pytest.mark.parametrize("time", [0, 100, 255, 30.5, 44.9])
@pytest.mark.parametrize("coils", [1, 4])
def test_a_spike_is_gone_up_to_noise(time, coils):
    random = np.random.default_rng(0)
    kspace = noise(random)
    values = 1000 * np.exp(2j * np.pi * random.random(coils))
    found, count = cleaned(spiked(kspace, 5, time, values))
    assert count == 1
    wrong = np.abs(found - kspace)
    assert wrong[5].max() < 20
    assert np.sqrt(np.mean(wrong[5] ** 2)) < 1  # a spike's share alone was 60
    wrong[5] = 0
    assert wrong.max() < 1e-5


@pytest.mark.parametrize("lines", [1, 16])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_spikes_of_any_size(size, lines):
    kspace = noise(np.random.default_rng(1), lines)
    found, count = cleaned(spiked(kspace, 0, 77.3, [size] * 4))
    assert count == 1
    assert np.abs(found - kspace).max() < max(10, 3e-3 * size)


def test_noise_and_weak_spikes_stay_as_they_are():
    random = np.random.default_rng(2)
    for _ in range(20):
        kspace = noise(random)
        kspace[3, :, 50] += 5
        found, count = cleaned(kspace)
        assert count == 0
        np.testing.assert_allclose(found, kspace, atol=1e-5)


@pytest.mark.parametrize("level", [1e-5, 1e-2])
@pytest.mark.parametrize("shift", [0, 40, 64, 100, 128])
def test_an_object_beyond_the_field_of_view_is_no_spike(shift, level):
    y, x = np.mgrid[-1:1:64j, -2:2:256j]
    head = ((x**2 + y**2) < 0.6) + 0.5 * ((x - 0.2) ** 2 + y**2 < 0.1)
    coils = np.stack([np.exp(-((x - a) ** 2) / 8 + 1j * a * y) for a in (-2, -1, 1, 2)])
    kspace = np.fft.ifftshift(fftc(coils * np.roll(head, shift, axis=1), (1, 2)), axes=-1)
    random = np.random.default_rng(3)
    kspace = kspace.transpose(1, 0, 2) + level * noise(random, lines=64)
    for block in np.array_split(kspace.astype(np.complex64), 4):
        assert cleaned(block)[1] == 0


def test_a_spike_over_an_object_beyond_the_field_of_view():
    random = np.random.default_rng(4)
    kspace = noise(random)
    # A point of the object, as bright in every sample as three times the noise.
    kspace += 3 * np.exp(2j * np.pi * 100 * np.arange(WIDTH) / WIDTH).astype(np.complex64)
    found, count = cleaned(spiked(kspace, 9, 40.4, [500] * 4))
    assert count == 1
    assert np.abs(found - kspace).max() < 20


def test_many_large_samples_are_signal():
    kspace = noise(np.random.default_rng(5))
    kspace[2, :, 20:200:30] += 500
    assert cleaned(kspace)[1] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_damaged_samples_do_no_harm(value):
    kspace = noise(np.random.default_rng(6))
    kspace[2, 1, 20] = value
    kspace[7, :, 30] += 1000
    assert cleaned(kspace)[1] == 1


def test_little_oversampling_tells_nothing():
    image = np.fft.ifft(noise(np.random.default_rng(7)) + 1000, norm="ortho").astype(np.complex64)
    before = image.copy()
    assert remove_spikes(image, 240) == 0
    assert np.array_equal(image, before)


def test_a_jump_at_the_end_of_a_readout_is_no_spike():
    # What an object within the field of view leaves where its signal is cut off.
    kspace = noise(np.random.default_rng(8), lines=1)
    kspace[..., 50 : WIDTH - 9] = 0
    kspace[..., WIDTH - 9 : WIDTH] += 3000
    kspace[..., :50] += 3000 * np.exp(-np.arange(50) / 8)
    assert cleaned(kspace)[1] == 0


def test_spikes_in_most_lines_of_a_block():
    random = np.random.default_rng(9)
    kspace = damaged = noise(random)
    for line in range(11):
        damaged = spiked(damaged, line, 15 * line + random.random(), [1000] * 4)
    found, count = cleaned(damaged)
    assert count == 11
    assert np.abs(found - kspace).max() < 20


def test_large_spikes_are_gone_up_to_noise():
    kspace = noise(np.random.default_rng(10))
    found, count = cleaned(spiked(kspace, 4, 90.37, [1e4] * 4))
    assert count == 1
    assert np.sqrt(np.mean(np.abs(found - kspace)[4] ** 2)) < 0.5


def test_an_object_that_fills_a_narrow_margin_is_no_spike():
    x = np.fft.fftfreq(320, 1 / 320)
    image = np.tile(np.exp(-((x / 400) ** 2)), (1, 1, 1)).astype(np.complex64) * 1000
    assert remove_spikes(image, 256) == 0

from __future__ import annotations

import numpy as np
import pytest

from gadget.evaluation.checks.noise import SPIKE, noise_results
from gadget.mri.operators.fourier import ifftc
from gadget.mri.sampling.patterns import parse_pattern

PATTERNS = [parse_pattern("random1d:4:0.08"), parse_pattern("uniform1d:1")]


@pytest.fixture
def results(fixed):
    def make(change=lambda image: image):
        method = fixed("any", change)
        found = noise_results(PATTERNS, [method], coils=4, size=(64, 64), seed=0)
        return {(one.record.content, one.record.pattern): one for one in found}

    return make


def test_zero_filling_adds_nothing(results):
    found = results()
    assert {content for content, _ in found} == {"noise", "spike", "tone"}
    for one in found.values():
        assert one.record.energy == pytest.approx(1, rel=1e-4)
        assert one.image.shape == (64, 64)


def test_noise_is_even_and_a_tone_is_a_line(results):
    found = results()
    for pattern in PATTERNS:
        assert found["noise", pattern.name].record.unevenness < 0.1
        tone = found["tone", pattern.name]
        assert tone.record.unevenness > 0.3
        # The frequency is a place along the readout, whatever the phase of the lines.
        column = int(np.argmax((tone.image**2).sum(0)))
        assert column == 32 - round(0.18 * 64)
    spike = found["spike", "uniform1d:1"]
    assert spike.image.mean() == pytest.approx(np.hypot(SPIKE / 64, 2), rel=0.05)


def test_invented_anatomy_is_found(results):
    head = np.zeros((64, 64))
    head[16:48, 16:48] = 10
    found = results(lambda image: image + head)
    record = found["noise", "random1d:4:0.08"].record
    assert record.energy > 3
    assert record.unevenness > 0.5


def test_methods_see_white_noise(fixed):
    seen = []

    class Spy(fixed):
        def reconstruct(self, kspace):
            seen.append(kspace)
            yield from super().reconstruct(kspace)

    list(noise_results(PATTERNS[1:], [Spy("any", lambda x: x)], coils=3, size=(32, 40), seed=1))
    noise, spike, _ = (one.data[:, 0].reshape(3, -1) for one in seen)
    np.testing.assert_allclose(noise @ noise.conj().T / noise.shape[1], np.eye(3), atol=0.1)
    loud = np.flatnonzero(np.abs(spike - noise).sum(0) > 1)
    assert len(loud) == 1
    assert np.linalg.norm((spike - noise)[:, loud]) == pytest.approx(SPIKE, rel=1e-4)
    assert np.abs(ifftc(seen[0].data)).max() < 6


@pytest.mark.parametrize("error", [True, False])
def test_a_method_that_fails_is_left_out(fixed, caplog, error):
    def fail(image):
        if error:
            raise ValueError("no network today")
        return image * np.nan

    methods = [fixed("broken", fail), fixed("sound", lambda image: image)]
    found = list(noise_results(PATTERNS, methods, coils=4, size=(64, 64), seed=0))
    assert {one.record.method for one in found} == {"sound"}
    assert ("no network today" if error else "not finite") in caplog.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gaussian2d:14:0.267", "leaves 73 of 1024 points, fewer than the 81 of"),
        ("random1d:100", "It measures nothing of 32 x 32 points"),
    ],
)
def test_a_pattern_that_cannot_be_had_is_left_out(fixed, caplog, text, reason):
    patterns = [parse_pattern(text), PATTERNS[1]]
    found = noise_results(patterns, [fixed("any", lambda x: x)], coils=4, size=(32, 32), seed=0)
    assert {one.pattern.name for one in found} == {"uniform1d:1"}
    assert reason in caplog.text

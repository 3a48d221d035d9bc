from __future__ import annotations

import numpy as np
import pytest

from gadget.errors import ConfigError
from gadget.evaluation.experiment import MethodFailure, Result, run
from gadget.evaluation.metrics import scores
from gadget.mri.sampling.patterns import parse_pattern

PATTERNS = [parse_pattern("uniform1d:2:0.2"), parse_pattern("uniform1d:1")]


def test_every_method_gets_every_pattern_and_the_same_data(case, fixed):
    methods = [fixed("one", lambda x: x), fixed("two", lambda x: x)]
    found = list(run(case, PATTERNS, methods, seed=0))
    assert [(r.pattern, r.method) for r in found] == [(p, m) for p in PATTERNS for m in methods]
    np.testing.assert_array_equal(found[0].image, found[1].image)
    assert found[0].mask.sum() == 40 * 29
    assert found[2].mask.all()
    assert found[2].scores.psnr > found[0].scores.psnr + 10
    for result in found:
        assert result.scores == scores(case.truth, result.image)
        assert result.std is None
        assert result.uncertainty_scores is None


def test_the_best_of_several_settings_counts(case, fixed):
    method = fixed("three", lambda x: 2 * x, lambda x: x, lambda x: 0 * x)
    (result,) = run(case, PATTERNS[1:], [method], seed=0)
    assert result.estimate.setting == "1"
    assert result.scores.psnr > 30


def test_predicted_errors_are_judged(case, fixed):
    method = fixed("sure", lambda x: x, std=lambda x: np.full_like(x, 1e6))
    (result,) = run(case, PATTERNS[1:], [method], seed=0)
    assert (result.std == 1e6).all()
    assert result.uncertainty_scores.within_one_sigma == 1


def test_a_setting_that_diverges_costs_no_other(case, fixed, caplog):
    method = fixed("peer", lambda x: x * np.nan, lambda x: x, fail)
    (result,) = run(case, PATTERNS[1:], [method], seed=0)
    assert result.estimate.setting == "1"
    assert "No image by peer on head, slice 0, 1D uniform, R = 1, no centre, setting 0" in (
        caplog.text
    )
    assert "out of ideas" in caplog.text


def test_a_method_that_offers_nothing_fails(case, fixed):
    (failure,) = run(case, PATTERNS[1:], [fixed("mute")], seed=0)
    assert failure.reason == "It offered no image."


def fail(image):
    raise RuntimeError("out of ideas")


@pytest.mark.parametrize(
    ("change", "reason"),
    [(fail, "RuntimeError: out of ideas"), (lambda x: x * np.nan, "values that are not finite")],
)
def test_a_method_that_fails_stops_no_other(case, fixed, caplog, change, reason):
    methods = [fixed("broken", change), fixed("good", lambda x: x)]
    bad, good = run(case, PATTERNS[:1], methods, seed=0)
    assert isinstance(bad, MethodFailure)
    assert reason in bad.reason
    assert isinstance(good, Result)
    assert "No image by broken on head, slice 0, 1D uniform" in caplog.text


def test_a_mask_that_does_not_fit_stops_no_other_pattern(case, fixed, caplog, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((30, 40)))
    patterns = [parse_pattern(str(tmp_path / "mask.npy")), PATTERNS[1]]
    methods = [fixed("one", lambda x: x), fixed("two", lambda x: x)]
    found = list(run(case, patterns, methods, seed=0))
    assert [isinstance(one, MethodFailure) for one in found] == [True, True, False, False]
    assert "has shape [30, 40], the k-space 48 x 40 points" in found[0].reason
    assert caplog.text.count("they must be equal") == 1


def test_a_pattern_that_cannot_be_had_stops_no_other(case, fixed, caplog):
    # A centre of 20% is 10 of 48 rows, by rounding more than its share.
    patterns = [parse_pattern("gaussian2d:25:0.2"), PATTERNS[1]]
    bad, good = run(case, patterns, [fixed("one", lambda x: x)], seed=0)
    assert "leaves 77 of 1920 points, fewer than the 80 of the centre" in bad.reason
    assert isinstance(good, Result)
    assert "No image of head, slice 0, 2D Gaussian, R = 25" in caplog.text


def test_what_is_wrong_with_the_set_up_stops_at_once(case, fixed):
    def misused(image):
        raise ConfigError("wrong")

    with pytest.raises(ConfigError, match="wrong"):
        list(run(case, PATTERNS, [fixed("any", misused)], seed=0))

from __future__ import annotations

import pytest

from gadget.evaluation.paper_results import METHODS, PUBLISHED, published_for
from gadget.mri.sampling.patterns import parse_pattern


@pytest.mark.parametrize(
    ("pattern", "score_based"),
    [("gaussian1d:4", "34.25"), ("gaussian2d:8.0:0.06", "31.43"), ("poisson2d:8:0.04", "31.98")],
)
def test_figures_go_with_the_pattern_they_were_measured_with(pattern, score_based):
    found = published_for(parse_pattern(pattern).name)
    assert found is not None
    assert found.psnr["score-based"] == score_based


@pytest.mark.parametrize(
    "pattern", ["gaussian1d:8", "random1d:4:0.08", "masks/gaussian1d:4.npy", "MASK.NPY"]
)
def test_other_patterns_have_none(pattern):
    assert published_for(pattern) is None


def test_every_figure_has_a_column():
    assert {method for one in PUBLISHED for method in one.psnr} == set(METHODS)

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from gadget.evaluation.checks.lesions import LesionPair
from gadget.evaluation.checks.noise import noise_results
from gadget.evaluation.collection import Collection
from gadget.evaluation.experiment import run
from gadget.evaluation.report.panels import (
    comparison_panels,
    lesion_panel,
    noise_panels,
    uncertainty_panels,
)
from gadget.evaluation.report.pictures import display_maximum
from gadget.mri.sampling.patterns import parse_pattern

PATTERNS = [parse_pattern("random1d:4:0.1")]


def decoded(picture):
    content = base64.b64decode(picture.url.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"), int)


@pytest.fixture
def collect(case):
    def make(*methods, patterns=PATTERNS):
        found = Collection(patterns, methods)
        for result in run(replace(case, quarter_turns=1), patterns, methods, seed=0):
            found.add(result)
        return found

    return make


def test_images_are_turned_upright_and_share_their_window(case, collect, fixed):
    truth = case.truth
    methods = [fixed("true", lambda x: truth), fixed("dark", lambda x: truth / 2)]
    ((title, (panel,)),) = comparison_panels(collect(*methods))
    assert (title, panel.title) == ("head, slice 0", "1D random, R = 4, 10% centre")
    assert [column.heading for column in panel.columns] == [
        "truth, and points measured", "true", "dark",
    ]  # fmt: skip
    images = [decoded(column.pictures[0]) for column in panel.columns]
    assert images[0].shape == (40, 48)
    np.testing.assert_array_equal(images[0], images[1])
    shown = (images[0] > 20) & (images[0] < 250)
    np.testing.assert_allclose(images[2][shown], images[0][shown] / 2, atol=1)
    expected = np.clip(np.rot90(truth) / display_maximum(truth), 0, 1) * 255
    np.testing.assert_allclose(images[0], expected, atol=1)
    mask = decoded(panel.columns[0].pictures[2])
    assert (mask == mask[:1]).all()


@pytest.fixture
def namesakes(tmp_path, case):
    """Masks of two files of one name in two folders."""
    found = []
    for folder, first in (("one", 0), ("other", 1)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "mask.npy", np.arange(len(case.truth)) % 2 == first)
        found.append(parse_pattern(str(tmp_path / folder / "mask.npy")))
    assert found[0].label == found[1].label
    return found


def test_masks_of_one_name_have_panels_of_their_own(collect, fixed, namesakes):
    same = fixed("same", lambda x: x)
    ((_, panels),) = comparison_panels(collect(same, patterns=namesakes))
    masks = [decoded(panel.columns[0].pictures[2]) for panel in panels]
    np.testing.assert_array_equal(masks[0], 255 - masks[1])
    assert all(len(panel.columns) == 2 for panel in panels)
    results = list(noise_results(namesakes, [same], coils=2, size=(16, 16), seed=0))
    assert [len(panel.columns[0].pictures) for panel in noise_panels(results)] == [3, 3]


def test_the_zoom_is_the_frame(case, collect, fixed):
    ((_, (panel,)),) = comparison_panels(collect(fixed("same", lambda x: x)))
    whole, part, _ = panel.columns[0].pictures
    left, top, width, height = (
        round(share * size / 100) for share, size in zip(whole.box, (48, 40, 48, 40), strict=True)
    )
    expected = decoded(whole)[top : top + height, left : left + width]
    np.testing.assert_array_equal(decoded(part), expected)


def test_errors_have_a_factor_that_is_told(case, collect, fixed):
    truth = case.truth
    ((_, (panel,)),) = comparison_panels(collect(fixed("near", lambda x: truth * 0.94)))
    assert panel.note.endswith("|error| \N{MULTIPLICATION SIGN} 10 in the same window")
    _, near = panel.columns
    assert decoded(near.pictures[2]).max() > 60
    ((_, (panel,)),) = comparison_panels(collect(fixed("far", lambda x: 0 * x)))
    assert panel.note.endswith("\N{MULTIPLICATION SIGN} 1 in the same window")


def test_uncertainty_is_shown_with_the_factor_of_the_error(case, collect, fixed):
    truth = case.truth
    sure = fixed("sure", lambda x: 1.05 * truth, std=lambda x: 0.05 * truth)
    (panel,) = uncertainty_panels(collect(sure, fixed("unsure", lambda x: x)))
    *_, error, deviation = panel.columns
    assert "predicted standard deviation" in deviation.heading
    np.testing.assert_allclose(decoded(error.pictures[0]), decoded(deviation.pictures[0]), atol=2)


def test_lesions_are_seen_in_the_difference(case, fixed):
    ill = case.truth.copy()
    ill[20:24, 10:14] *= 1.4
    pair = LesionPair(
        replace(case, quarter_turns=1),
        4,
        fixed("any", lambda x: x),
        ill,
        (ill + case.truth) / 2,
        case.truth,
    )
    panel = lesion_panel([pair])
    assert [column.heading for column in panel.columns] == ["truth", "any, R = 4"]
    truth, found = (decoded(column.pictures[2]) for column in panel.columns)
    assert truth.shape == (40, 48)
    place = np.zeros_like(ill, bool)
    place[20:24, 10:14] = True
    place = np.rot90(place)
    assert (truth[~place] == truth[0, 0]).all()
    assert truth[place].min() > found[place].max() > found[~place].max()

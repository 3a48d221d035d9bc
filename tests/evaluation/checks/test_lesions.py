from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from gadget.evaluation.cases import Receiver, simulated_case
from gadget.evaluation.checks.lesions import (
    ACCELERATIONS,
    CONTRASTS,
    DIAMETERS,
    SPACING,
    LesionRecord,
    LesionSite,
    choose_sites,
    lesion_pairs,
    lesion_patterns,
    lesion_rows,
)


@pytest.fixture(scope="module")
def head(phantom):
    """Large enough for lesions, without noise that one could see."""
    return simulated_case("head", 0, phantom((160, 150)) + 0.001, Receiver(coils=2, noise=1e-4))


class Knowing:
    """Knows the true images with and without lesions, and shows them changed."""

    name, label = "knowing", "knowing"

    def __init__(self, ill, well, change=lambda image: image):
        self.images = [ill, well]
        self.change = change
        self.turn = 0

    def reconstruct(self, kspace):
        from gadget.evaluation.methods.method import Estimate

        image = self.images[self.turn % 2]
        self.turn += 1
        yield Estimate(np.asarray(self.change(image), np.float32), 0.0)


def rows_of(head, change):
    sites = choose_sites(head.truth, head.rng(0, "lesions"))
    shape = head.truth.shape
    inserted = sum(site.contrast * site.shape(shape) for site in sites)
    method = Knowing(head.truth * (1 + inserted), head.truth, change)
    records = [one for _, found in lesion_pairs(head, [method], 0) for one in found]
    return lesion_rows(records)


def test_places_are_apart_in_the_object_and_of_every_kind(head):
    sites = choose_sites(head.truth, np.random.default_rng(0))
    kinds = [(site.contrast, site.diameter) for site in sites]
    inserted = [kind for kind in kinds if kind[0]]
    assert set(inserted) == {(contrast, size) for contrast in CONTRASTS for size in DIAMETERS}
    empty = {(site.y, site.x) for site in sites if not site.contrast}
    assert len(inserted) - 1 <= len(empty) <= len(inserted)
    assert len(kinds) - len(inserted) == len(empty) * len(DIAMETERS)
    for number, one in enumerate(sites):
        for other in sites[:number]:
            distance = np.hypot(one.y - other.y, one.x - other.x)
            assert distance >= SPACING or (distance == 0 and one.contrast == other.contrast == 0)
        y, x = np.mgrid[-9:10, -9:10]
        near = np.hypot(y, x) <= one.diameter / 2 + 4
        assert (head.truth[one.y - 9 : one.y + 10, one.x - 9 : one.x + 10][near] > 0).all()


def test_contrast_is_that_of_the_lesion_over_its_surroundings():
    site = LesionSite(20, 24, diameter=5, contrast=0.4)
    tissue = np.full((40, 50), 80.0)
    image = tissue * (1 + 0.4 * site.shape((40, 50))) + 300
    assert site.contrast_in(image, tissue) == pytest.approx(0.4)
    assert site.contrast_in(-tissue * site.shape((40, 50)), tissue) == pytest.approx(-1)
    assert site.contrast_in(tissue, tissue) == 0
    assert site.shape((40, 50)).sum() == pytest.approx(np.pi * 2.5**2, rel=0.05)


def test_a_perfect_reconstruction_keeps_everything_and_invents_nothing(head):
    rows = rows_of(head, lambda image: image)
    assert len(rows) == len(ACCELERATIONS) * len(DIAMETERS) * len(CONTRASTS)
    for row in rows:
        assert row.recovered.mean == pytest.approx(1)
        assert (row.missed, row.invented) == (0, 0)


def test_smoothing_loses_the_small_ones():
    y, x = np.mgrid[-80:80, -75:75]
    disk = simulated_case("disk", 0, 1.0 * (np.hypot(y, x) < 70), Receiver(coils=2, noise=1e-4))
    rows = rows_of(disk, lambda image: gaussian_filter(image, 1.5))
    for contrast in CONTRASTS:
        same = [row for row in rows if row.contrast == contrast]
        kept = {row.diameter: row.recovered.mean for row in same}
        assert kept[3] < 0.5 < kept[5] < kept[9] < 1
        assert {row.diameter: row.missed for row in same} == {3: 1, 5: 0, 9: 0}


def test_blobs_are_invented_lesions(head):
    blobs = gaussian_filter(np.random.default_rng(0).normal(size=head.truth.shape), 2)
    blobs *= 0.2 * head.truth.max() / blobs.std()
    rows = rows_of(head, lambda image: image + blobs)
    for row in rows:
        assert row.recovered.mean == pytest.approx(1, abs=0.01)
    invented = {row.contrast: row.invented for row in rows if row.diameter == 5}
    assert invented[0.15] >= invented[0.4] > 0.2


def test_both_scans_have_the_same_lines_and_noise(head):
    seen = []

    class Spy(Knowing):
        def reconstruct(self, kspace):
            seen.append(kspace)
            yield from super().reconstruct(kspace)

    pairs = list(lesion_pairs(head, [Spy(head.truth, head.truth)], 0))
    assert [pair.acceleration for pair, _ in pairs] == list(ACCELERATIONS)
    assert len(seen) == 2 * len(ACCELERATIONS)
    for ill, well in zip(seen[::2], seen[1::2], strict=True):
        np.testing.assert_array_equal(ill.mask, well.mask)
        difference = np.abs(ill.data - well.data).sum(0)[0]
        assert difference[80 - 2 : 80 + 2].max() > 100 * np.median(difference)
    patterns = [pattern.name for pattern in lesion_patterns()]
    assert patterns == [
        "random1d:2:0.16",
        "random1d:4:0.08",
        "random1d:6:0.0533",
        "random1d:8:0.04",
    ]


def test_kinds_that_found_no_place_are_left_out():
    inserted = LesionRecord("a", 0, 4, "m", 1, 1, 3, 0.4, 0.9, 0.3)
    assert lesion_rows([inserted]) == []
    empty = LesionRecord("a", 0, 4, "m", 9, 9, 3, 0.0, None, -0.21)
    (row,) = lesion_rows([inserted, empty])
    assert (row.recovered.mean, row.missed, row.invented) == (0.9, 0, 1)


@pytest.mark.parametrize("value", [np.nan, None])
def test_a_method_that_fails_is_left_out(head, caplog, value):
    def fail(image):
        if value is None:
            raise ValueError("no network today")
        return image * value

    broken = Knowing(head.truth, head.truth, fail)
    sound = Knowing(head.truth, head.truth)
    sound.name = "sound"
    pairs = list(lesion_pairs(head, [broken, sound], 0))
    assert [pair.method.name for pair, _ in pairs] == ["sound"] * len(ACCELERATIONS)
    assert "No image by knowing on head" in caplog.text

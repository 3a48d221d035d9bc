from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("jinja2")

from gadget.errors import ConfigError
from gadget.evaluation.checks.lesions import LesionPair, LesionRecord
from gadget.evaluation.checks.noise import noise_results
from gadget.evaluation.collection import Collection
from gadget.evaluation.experiment import run
from gadget.evaluation.findings import Findings
from gadget.evaluation.report.page import write_report
from gadget.mri.sampling.patterns import parse_pattern

PATTERNS = [parse_pattern("random1d:4:0.1"), parse_pattern("gaussian2d:2:0.2")]
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Text and images of a page; fails where tags are not closed in order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str]] = []
        self.links: list[str] = []
        self.identifiers: list[str] = []
        self.words: list[str] = []
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.images.append(found)
        if "href" in found:
            self.links.append(found["href"])
        if "id" in found:
            self.identifiers.append(found["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data.strip())

    @property
    def text(self):
        return " ".join(word for word in self.words if word)


@pytest.fixture
def write(tmp_path):
    def make(findings):
        path = tmp_path / "report.html"
        write_report(
            path, findings, lead="Two & two.", command="score-gadget evaluate <x>",
            provenance=[("seed", "7")],
        )  # fmt: skip
        content = path.read_text()
        return Page(content), content

    return make


def test_published_figures_stand_below_ours_of_the_same_pattern(write, case, fixed):
    patterns = [parse_pattern(text) for text in ("random1d:4:0.1", "gaussian2d:8:0.06")]
    methods = [fixed("plain", lambda x: x)]
    main, anatomy = Collection(patterns, methods), Collection(patterns, methods)
    for collection in (main, anatomy):
        for result in run(case, patterns, methods, seed=1):
            collection.add(result)
    page, _ = write(Findings(main=main, anatomy=anatomy))
    before, _, after = page.text.partition("Published by Chung and Ye (2022), ")
    assert re.search(r"Gaussian[^)]*R = 8.*plain [\d.]+ [^P]*$", before)
    assert after.startswith("multi-coil, 2D Gaussian, R = 8: other data (knees, fastMRI), not")
    assert "TV, published 29.20" in after
    assert "score-based, published 31.43 " in after
    # An orange is nothing that they have measured, and random lines are another pattern.
    assert "Published by Chung and Ye (2022), " not in after


@pytest.fixture
def collection(case, fixed):
    methods = [
        fixed("plain", lambda x: x),
        fixed("fast", lambda x: 0.98 * x, std=lambda x: np.ones_like(x)),
    ]
    found = Collection(PATTERNS, methods)
    for number in range(2):
        for result in run(replace(case, number=number, quarter_turns=1), PATTERNS, methods, seed=0):
            found.add(result)
    return found


def test_a_page_without_anything(write):
    page, _ = write(Findings())
    assert "Two & two." in page.text
    assert "score-gadget evaluate <x>" in page.text
    assert page.images == []
    assert "34.25" in page.text
    assert "not a medical device" in page.text


def test_numbers_images_and_uncertainty(write, collection):
    page, _ = write(Findings(main=collection))
    for section in collection.summary.sections:
        assert section.title in page.text
        for row in section.rows:
            assert row.label in page.text
            for cell in row.cells:
                assert cell.text in page.text
    # Of each slice and pattern: truth, its zoom and the mask, and three of each method. One plot a
    # pattern, and the calibration plot; four of each uncertainty panel.
    slices, patterns, methods = 2, 2, 2
    expected = slices * patterns * (3 + 3 * methods) + patterns + 1 + slices * patterns * 4
    assert len(page.images) == expected
    assert "head, slice 1" in page.text
    assert re.search(r"\|error\| \W \d+ in the same window", page.text)
    assert "error < 1 SD" in page.text


def test_the_page_holds_all_it_shows(write, collection):
    page, content = write(Findings(main=collection))
    assert all(image["src"].startswith("data:image/") for image in page.images)
    assert all(image["alt"] for image in page.images)
    for link in page.links:
        assert link.removeprefix("#") in page.identifiers
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", content)


def test_checks(write, case, collection, fixed):
    method = fixed("fast", lambda x: x)
    truth = case.truth
    pairs = [LesionPair(case, r, method, truth * 1.1, truth, truth * 0.9) for r in (2, 4)]
    lesions = [
        LesionRecord("a", 0, r, "fast", 20, 20, 3, contrast, kept, apparent)
        for r in (2, 4)
        for contrast, kept, apparent in (
            (0.4, 0.875, 0.35),
            (0.4, 0.625, 0.1),
            (0.0, None, 0.3),
        )
    ]
    noise = list(noise_results(PATTERNS, [method], 2, (32, 32), 0))
    findings = Findings(
        anatomy=collection,
        checked_methods=[method],
        lesions=lesions,
        lesion_pairs=pairs,
        noise=noise,
    )
    page, _ = write(findings)
    assert {"anatomy", "lesions", "noise", "reproduce"} == set(page.identifiers)
    assert "fast 4 3 40% 75 ± 18 50 100" in page.text
    assert "2D Gaussian, R = 2, 20% centre spike fast 1.00" in page.text
    assert "Uncertainty" not in page.text


def test_a_page_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        write_report(tmp_path, Findings(), lead="", command="", provenance=[])

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from gadget.errors import ConfigError, DataError
from gadget.evaluation.collection import SHOWN, Collection
from gadget.evaluation.experiment import MethodFailure, run
from gadget.evaluation.records import ScoreRecord, csv_file
from gadget.evaluation.summary import MeanStd, mean_std, summarise
from gadget.evaluation.table import table
from gadget.mri.sampling.patterns import parse_pattern

PATTERNS = [parse_pattern("random1d:4:0.1"), parse_pattern("uniform1d:2")]


def record(method, pattern=PATTERNS[0], number=0, **values):
    return ScoreRecord("a.npy", number, pattern.name, method.name, acceleration=4.0, **values)


@pytest.fixture
def methods(fixed):
    return [fixed("good-one", lambda x: x), fixed("bad-one", lambda x: 0 * x)]


def test_a_record_says_who_and_how_good(case, methods):
    (good, bad) = run(case, PATTERNS[:1], methods, seed=0)
    found = ScoreRecord.of(good)
    assert (found.file, found.slice, found.pattern, found.method) == (
        "head", 0, "random1d:4:0.1", "good-one",
    )  # fmt: skip
    assert found.acceleration == pytest.approx(4)
    assert (found.psnr, found.hfen) == (good.scores.psnr, good.scores.hfen)
    assert found.within_one_sigma is None
    assert ScoreRecord.of(bad).nmse == pytest.approx(1)
    lost = ScoreRecord.of(MethodFailure(case, PATTERNS[0], methods[0], "out of ideas"))
    assert (lost.psnr, lost.note) == (None, "out of ideas")


def test_mean_and_deviation_over_slices(methods):
    records = [record(methods[0], psnr=value) for value in (30.0, 32.0, None, np.nan)]
    assert mean_std(records, "psnr") == MeanStd(31.0, pytest.approx(np.sqrt(2)))
    assert mean_std(records[:1], "psnr") == MeanStd(30.0, None)
    assert mean_std(records, "evaluations") is None
    assert mean_std(records, "psnr").text(2) == "31.00 ± 1.41"
    assert mean_std(records, "psnr").text(1, with_deviation=False) == "31.0"
    assert mean_std(records[:1], "psnr").text(1) == "30.0"


def test_the_best_of_every_column_stands_out(methods):
    quality = {"ssim": 0.9, "nmse": 0.02, "hfen": 0.3, "seconds": 1.0}
    records = [
        record(methods[0], psnr=31.0, **quality),
        record(methods[1], psnr=30.0, **quality | {"nmse": 0.01, "seconds": 0.5}),
    ]
    summary = summarise(records, PATTERNS, methods)
    assert summary.headings[:3] == ("PSNR [dB]", "SSIM", "NMSE")
    (section,) = summary.sections
    assert section.title == "1D random, R = 4, 10% centre (1 in 4 measured)"
    assert [row.label for row in section.rows] == ["good one", "bad one"]
    marks = [[cell.best for cell in row.cells] for row in section.rows]
    assert marks[0][:4] == [True, True, False, True]
    assert marks[1][:4] == [False, True, True, True]
    assert not any(marks[0][4:] + marks[1][4:])


def test_who_gave_up_on_a_slice_is_not_the_best(methods):
    records = [record(methods[0], psnr=50.0), record(methods[0], number=1, note="out of ideas")]
    records += [record(methods[1], psnr=30.0), record(methods[1], number=1, psnr=20.0)]
    (section,) = summarise(records, PATTERNS, methods).sections
    assert [row.cells[0].best for row in section.rows] == [False, True]


def test_columns_of_uncertainty_only_where_there_is_one(methods):
    plain, sure = record(methods[0], psnr=30.0), record(methods[1], psnr=1.0, within_one_sigma=0.7)
    assert len(summarise([plain], PATTERNS, methods).headings) == 6
    summary = summarise([plain, sure], PATTERNS, methods)
    assert summary.headings[6:] == ("error < 1 SD", "error < 2 SD", "r(error, SD)")
    assert [row.cells[6].text for row in summary.sections[0].rows] == ["", "0.70"]


def test_methods_of_one_label_have_a_row_each(methods):
    """As networks whose weights are in files of one name."""
    methods[1].label = methods[0].label
    records = [record(methods[0], psnr=31.0), record(methods[1], psnr=30.0)]
    (section,) = summarise(records, PATTERNS, methods).sections
    assert [row.cells[0].text for row in section.rows] == ["31.00", "30.00"]


def test_failures_are_counted(methods):
    records = [record(methods[0], psnr=30.0), record(methods[0], number=1, note="out of ideas")]
    (section,) = summarise(records, PATTERNS, methods[:1]).sections
    assert section.rows[0].label == "good one (1 of 2 slices)"


def test_slices_of_a_simpler_method_are_counted(methods):
    note = "fell back to sense: fast: went astray"
    records = [record(methods[0], psnr=30.0, note=note), record(methods[0], number=1, psnr=31.0)]
    (section,) = summarise(records, PATTERNS, methods[:1]).sections
    assert section.rows[0].label == "good one (1 by fallback)"
    (section,) = summarise([*records, record(methods[0])], PATTERNS, methods[:1]).sections
    assert section.rows[0].label == "good one (2 of 3 slices, 1 by fallback)"


def test_the_table_is_printed_as_it_is(methods):
    records = [record(methods[0], psnr=30.0), record(methods[0], pattern=PATTERNS[1], psnr=40.0)]
    console = Console(width=120, file=StringIO())
    console.print(table(summarise(records, PATTERNS, methods)))
    text = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert "PSNR [dB] SSIM NMSE HFEN time [s] evaluations" in text[1]
    assert "good one 30.00" in text
    assert "good one 40.00" in text
    assert text.index("good one 30.00") < text.index("good one 40.00")


def test_lines_are_in_the_file_at_once(methods, tmp_path):
    path = tmp_path / "cases.csv"
    with csv_file(path, ScoreRecord) as write:
        write(record(methods[0], psnr=30.123456789, evaluations=30))
        (line,) = csv.DictReader(path.open())
        assert line["psnr"] == "30.1235"
        assert line["evaluations"] == "30"
        assert line["ssim"] == ""
        assert line["method"] == "good-one"
    with (
        pytest.raises(ConfigError, match="cannot be written"),
        csv_file(tmp_path / "nowhere" / "cases.csv", ScoreRecord),
    ):
        pass


def test_without_a_line_there_is_no_file(methods, tmp_path):
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("of another evaluation")
    for path in (new, old):
        with pytest.raises(DataError), csv_file(path, ScoreRecord):
            raise DataError("Not one input can be evaluated.")
    assert not new.exists()
    assert old.read_text() == "of another evaluation"


def test_a_collection_keeps_all_numbers_and_the_first_pictures(case, methods, fixed):
    sure = fixed("sure", lambda x: x, std=lambda x: np.ones_like(x))
    collection = Collection(PATTERNS, [*methods, sure])
    for number in range(SHOWN + 2):
        for result in run(replace(case, number=number), PATTERNS, collection.methods, seed=0):
            collection.add(result)
    assert collection.slices == SHOWN + 2
    assert len(collection.records) == (SHOWN + 2) * 2 * 3
    assert list(collection.shown) == [f"head, slice {number}" for number in range(SHOWN)]
    assert [len(found) for found in collection.shown.values()] == [6] * SHOWN
    assert {name: len(curves) for name, curves in collection.reliability.items()} == {
        pattern.name: SHOWN + 2 for pattern in PATTERNS
    }
    assert len(collection.summary.sections) == 2

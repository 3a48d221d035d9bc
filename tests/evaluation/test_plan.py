from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gadget.errors import DataError
from gadget.evaluation import plan as plans
from gadget.evaluation.cases import Receiver
from gadget.evaluation.checks.lesions import ACCELERATIONS
from gadget.evaluation.plan import EvaluationPlan, run_plan
from gadget.mri.sampling.patterns import parse_pattern


@pytest.fixture
def inputs(tmp_path, phantom):
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", phantom((96, 90)))
    (tmp_path / "broken.npy").write_bytes(b"no array")
    return [str(tmp_path / f"{name}.npy") for name in ("one", "broken", "two")]


@pytest.fixture
def planned(fixed):
    def make(files, checks=()):
        methods = [fixed("plain", lambda x: x), fixed("dark", lambda x: x / 2)]
        patterns = [parse_pattern("random1d:4:0.1"), parse_pattern("uniform1d:2")]
        receiver = Receiver(coils=3)
        return EvaluationPlan(files, 1, receiver, patterns, methods, checks, methods[:1])

    return make


def lines(path):
    return list(csv.DictReader(path.open()))


def test_every_file_that_can_be_used(planned, inputs, tmp_path, caplog):
    steps = []
    findings = run_plan(planned(inputs), tmp_path, steps.append)
    assert len(steps) == 2 * 2 * 2
    assert steps[0] == "one.npy, slice 0: 1D random, R = 4, 10% centre, plain"
    assert [line["file"] for line in lines(tmp_path / "cases.csv")] == ["one.npy"] * 4 + [
        "two.npy"
    ] * 4
    assert "Left out" in caplog.text
    assert "broken.npy' is no readable NumPy file" in caplog.text
    assert findings.main.slices == 2
    assert findings.left_out == {inputs[1]}
    assert not findings.lesions
    assert not findings.noise
    assert not (tmp_path / "noise.csv").exists()


def test_files_of_the_same_name_are_told_apart(planned, phantom, tmp_path):
    files = [str(tmp_path / person / "t1.npy") for person in ("one", "two")]
    for number, file in enumerate(files):
        Path(file).parent.mkdir()
        np.save(file, phantom((96, 90)) + number)
    findings = run_plan(planned(files), tmp_path, lambda now: None)
    assert {line["file"] for line in lines(tmp_path / "cases.csv")} == set(files)
    assert findings.main.slices == 2
    assert [len(one) for one in findings.main.shown.values()] == [4, 4]


def test_nothing_that_can_be_used(planned, inputs, tmp_path):
    with pytest.raises(DataError, match=r"Not one input can be evaluated\. .*broken\.npy"):
        run_plan(planned(inputs[1:2]), tmp_path, lambda now: None)


def test_files_that_are_left_out_are_named(planned, inputs, tmp_path, caplog):
    dark = tmp_path / "person" / "dark.npy"
    dark.parent.mkdir()
    np.save(dark, np.zeros((2, 96, 90)))
    run_plan(planned([inputs[0], str(dark)]), tmp_path, lambda now: None)
    assert f"Left out: {dark}: Slice 1 of 'dark.npy' is empty" in caplog.text


def test_checks_on_inputs(planned, inputs, tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "MATRIX", (32, 32))
    steps = []
    plan = planned(inputs[:1], ("anatomy", "lesions", "noise"))
    findings = run_plan(plan, tmp_path, steps.append)
    assert len(steps) == plan.steps
    anatomy = lines(tmp_path / "anatomy.csv")
    assert [line["file"] for line in anatomy] == ["phantom:fruit"] * 4
    lesions = lines(tmp_path / "lesions.csv")
    assert {line["file"] for line in lesions} == {"one.npy"}
    assert {float(line["acceleration"]) for line in lesions} == set(ACCELERATIONS)
    assert len(findings.lesion_pairs) == len(ACCELERATIONS)
    noise = lines(tmp_path / "noise.csv")
    assert [line["content"] for line in noise] == ["noise", "spike", "tone"] * 2


def test_a_method_that_finds_no_lesions_in_the_first_file_has_its_lines(
    planned, inputs, fixed, tmp_path
):
    pytest.importorskip("jinja2")
    from gadget.evaluation.report.page import write_report

    class Late(fixed):
        def reconstruct(self, kspace):
            for one in super().reconstruct(kspace):
                yield replace(one, image=one.image * (np.nan if self.calls <= first else 1))

    first = 2 * len(ACCELERATIONS)
    late, mute = Late("late-one", lambda x: x), fixed("mute-one", lambda x: x * np.nan)
    plan = planned([inputs[0], inputs[2]], ("lesions",))
    plan = replace(plan, checked_methods=[*plan.checked_methods, late, mute])
    findings = run_plan(plan, tmp_path, lambda now: None)
    assert {pair.method.name for pair in findings.lesion_pairs} == {"plain"}
    write_report(tmp_path / "report.html", findings, lead="", command="", provenance=[])
    page = (tmp_path / "report.html").read_text()
    assert "<td>late one</td>" in page
    assert "mute one" not in page


def test_phantoms_have_the_size_of_a_mask(planned, inputs, tmp_path):
    mask = np.zeros((96, 90))
    mask[::2] = 1
    np.save(tmp_path / "mask.npy", mask)
    pattern = parse_pattern(str(tmp_path / "mask.npy"))
    plan = replace(planned(inputs[:1], ("anatomy", "noise")), patterns=[pattern])
    findings = run_plan(plan, tmp_path, lambda now: None)
    assert [line["note"] for line in lines(tmp_path / "anatomy.csv")] == ["", ""]
    assert {one.image.shape for one in findings.noise} == {(96, 90)}


def test_a_mask_that_fits_no_input(planned, inputs, tmp_path):
    np.save(tmp_path / "mask.npy", np.ones((90, 96)))
    pattern = parse_pattern(str(tmp_path / "mask.npy"))
    plan = replace(planned(inputs[:1]), patterns=[pattern])
    with pytest.raises(DataError, match="Not one image was reconstructed"):
        run_plan(plan, tmp_path, lambda now: None)


def test_a_check_that_comes_to_nothing(planned, tmp_path, caplog):
    plan = replace(planned([], ("noise",)), patterns=[parse_pattern("random1d:1000")])
    with pytest.raises(DataError, match="Not one check came to a result; the log says why"):
        run_plan(plan, tmp_path, lambda now: None)
    assert "No noise with 1D random, R = 1000" in caplog.text


def test_checks_need_no_input(planned, tmp_path):
    plan = planned([], ("lesions",))
    findings = run_plan(plan, tmp_path, lambda now: None)
    assert findings.main is None
    assert {record.file for record in findings.lesions} == {"phantom:head"}
    assert not (tmp_path / "cases.csv").exists()


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 9, 13, 14])
def test_wherever_it_is_stopped_there_is_a_page(planned, inputs, tmp_path, monkeypatch, pieces):
    pytest.importorskip("jinja2")
    from gadget.evaluation.report.lead import lead
    from gadget.evaluation.report.page import write_report

    monkeypatch.setattr(plans, "MATRIX", (32, 32))
    plan = planned(inputs[:1], ("anatomy", "lesions", "noise"))
    steps = []

    def step(now):
        steps.append(now)
        if len(steps) == pieces:
            raise KeyboardInterrupt

    findings = run_plan(plan, tmp_path, step)
    assert isinstance(findings.stopped, KeyboardInterrupt)
    assert not findings.empty
    words = lead(plan, findings)
    assert words.endswith(f"Stopped early: {pieces} of {plan.steps} results are finished.")
    write_report(tmp_path / "report.html", findings, lead=words, command="", provenance=[])
    assert ("An orange, simulated" in (tmp_path / "report.html").read_text()) == (pieces > 4)


def test_stopped_before_anything_is_finished(planned, inputs, tmp_path, monkeypatch):
    def interrupt(*_):
        raise SystemExit(143)

    monkeypatch.setattr(plans, "run", interrupt)
    findings = run_plan(planned(inputs[:1]), tmp_path, lambda now: None)
    assert findings.empty
    assert isinstance(findings.stopped, SystemExit)

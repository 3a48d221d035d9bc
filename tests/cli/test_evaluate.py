from __future__ import annotations

import csv
import signal
import time

import h5py
import numpy as np
import pytest
from waiting import wait_until

from gadget.cli import evaluate
from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.devices import select_device
from gadget.diffusion.model_loading import model_for
from gadget.errors import ConfigError
from gadget.mri.phantoms.head import head_slice

pytest.importorskip("skimage")
pytest.importorskip("jinja2")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "head.npy"
    np.save(path, head_slice((64, 64), 220, 0))
    return path


def test_a_table_a_page_and_a_line_for_each_result(run, image, tmp_path):
    done = run(
        "evaluate", image, "-o", "out", "-p", "uniform1d:2:0.2", "-p", "gaussian2d:4:0.1",
        "-m", "zero-filled", "-m", "sense", "-m", "fast:3", "--samples", 2, "--coils", 4,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert [row["method"] for row in rows] == ["zero-filled", "sense", "fast:3"] * 2
    assert [row["evaluations"] for row in rows] == ["", "", "3"] * 2
    assert float(rows[1]["psnr"]) > float(rows[0]["psnr"]) + 3
    assert 0 < float(rows[2]["within_one_sigma"]) < float(rows[2]["within_two_sigma"]) <= 1
    assert "1D uniform, R = 2, 20% centre" in done.stdout
    assert f"{float(rows[1]['psnr']):.2f}" in done.stdout
    assert "report: out/report.html" in done.stdout
    with h5py.File(tmp_path / "out" / "images.h5") as images:
        slice_ = images["head.npy, slice 0"]
        truth, found = slice_["truth"][()], slice_["gaussian2d:4:0.1"]
        assert found["mask"][()].mean() == pytest.approx(1 / 4, abs=0.02)
        assert 0 < found["fast:3 std"][()].mean() < found["fast:3"][()].mean()
        error = np.mean((found["fast:3"][()].astype(float) - truth) ** 2)
    assert 10 * np.log10(truth.max() ** 2 / error) == pytest.approx(float(rows[5]["psnr"]), 1e-4)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "score-gadget evaluate" in page
    assert f"{model_for(DEFAULT_MODEL, select_device('auto'))}, sha256" in page
    assert "Uncertainty" in page


def test_inputs_that_are_left_out_are_told(run, image, tmp_path):
    (tmp_path / "rubbish.npy").write_bytes(b"rubbish")
    done = run("evaluate", image, "rubbish.npy", "-o", "out", "-m", "zero-filled")
    assert done.returncode == 1
    assert "1 input could not be evaluated, or only in part; see above." in done.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Could not be evaluated, or only in part: rubbish.npy." in page


def test_a_pattern_counts_once(run, image, tmp_path):
    twice = ("-p", "uniform1d:2") * 2
    done = run("evaluate", image, "-o", "out", *twice, "-m", "zero-filled")
    assert done.stdout.count("1D uniform, R = 2") == 1
    assert done.stdout.count("±") == 1  # the heading; a slice alone has no spread
    assert len((tmp_path / "out" / "cases.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_a_report_of_what_is_finished(start, image, tmp_path, number, status):
    process = start(
        "evaluate", image, "-o", "out", "-m", "zero-filled", "-m", "paper:2000",
        "-p", "gaussian2d:4:0.1", "-p", "uniform1d:2", "--check", "all",
    )  # fmt: skip
    cases = tmp_path / "out" / "cases.csv"
    wait_until(lambda: cases.exists() and "zero-filled" in cases.read_text())
    time.sleep(0.5)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Stopped: 1 of " in told
    assert "Traceback" not in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Stopped early: 1 of " in page
    assert "Gaussian, R = 4" in page
    with h5py.File(tmp_path / "out" / "images.h5") as images:
        assert set(images["head.npy, slice 0/gaussian2d:4:0.1"]) == {"mask", "zero-filled"}


def test_raw_data(run, tmp_path):
    run("simulate", "raw.h5", "--matrix", 48, "--coils", 3, "--slices", 2, "--acceleration", 1)
    done = run(
        "evaluate", "raw.h5", "-o", "out", "-p", "uniform1d:2:0.2", "-m", "zero-filled",
        "-m", "sense", "--slices", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert [(row["file"], row["slice"]) for row in rows] == [("raw.h5", "0")] * 2 + [
        ("raw.h5", "1")
    ] * 2


def test_a_check_without_any_input(run, tmp_path):
    done = run("evaluate", "-o", "out", "--check", "noise", "-m", "zero-filled", "-p", "random1d:4")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "out" / "noise.csv").open()))
    assert [float(row["energy"]) for row in rows] == pytest.approx([1, 1, 1])
    assert "Noise alone" in (tmp_path / "out" / "report.html").read_text()


def test_nothing_to_evaluate(run):
    done = run("evaluate", "-o", "out")
    assert done.returncode == 2
    assert "There is nothing to evaluate; give an input, or --check all." in done.stderr


def test_seeds_that_samplers_do_not_take(run):
    done = run("evaluate", "phantom:head", "-o", "out", "--seed", 5_000_000_000)
    assert done.returncode == 2
    assert "--seed" in done.stderr
    assert "no method" not in done.stderr


def test_checks_by_name():
    assert evaluate._checks([]) == []
    assert evaluate._checks(["noise", "lesions", "noise"]) == ["lesions", "noise"]
    assert evaluate._checks(["all"]) == ["anatomy", "lesions", "noise"]
    with pytest.raises(ConfigError, match="'teeth' is no check; expected anatomy, lesions, noise"):
        evaluate._checks(["noise", "teeth"])


def test_progress_in_lines(caplog, monkeypatch):
    monkeypatch.setattr(evaluate, "LINE_SECONDS", 0.0)
    with caplog.at_level("INFO"), evaluate._step_progress(3) as step:
        step("one")
        step("two")
    assert [message.partition(",")[0] for message in caplog.messages] == ["1 of 3", "2 of 3"]
    assert caplog.messages[1].endswith("minutes left: two")

from __future__ import annotations

import json
import os

import h5py
import pytest


def test_a_person_is_told_what_matters(run, raw):
    done = run("inspect", raw)
    assert done.returncode == 0
    assert done.stderr == ""
    for expected in (
        "ISMRMRD, 'dataset'",
        "score-gadget, simulated, 3 T, 123.25 MHz",
        "40: 8 noise, 32 image",
        "8 readouts, 3 coils, 64 samples of 2.5 us",
        "cartesian, 64 x 32 x 1, 440 x 220 x 5 mm",
        "2 slices",
        "oversampled 2 times, whole echo",
        "16 of 32, irregular",
        "2; the header says 2 x 1",
        "2 images of 32 x 32 x 1",
        "ky to the right, kx down",
        "█",
    ):
        assert expected in done.stdout, expected
    assert "oddities" not in done.stdout


def test_an_old_terminal_is_told_as_much_as_it_can_show(run, raw):
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = run("inspect", raw, env=environment)
    assert done.returncode == 0, done.stderr
    assert "kx down\n|?" in done.stdout


def test_square_brackets_in_a_name_are_no_markup(run, raw):
    folder = raw.with_name("knee [")
    folder.mkdir()
    done = run("inspect", raw.rename(folder / "left].h5"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "knee [/left].h5: ISMRMRD" in done.stdout


def test_a_script_reads_json(run, raw):
    done = run("inspect", raw, "--json")
    facts = json.loads(done.stdout)
    assert facts["readouts"] == 40
    assert facts["encodings"][0]["sampling"]["lines"] == [16, 16]
    assert set(facts) == {
        *("path", "format", "group", "file_bytes", "vendor", "model", "field_strength_t"),
        *("h1_frequency_mhz", "protocol", "series_description", "measurement_id"),
        *("patient_position", "readouts", "kinds", "waveforms", "noise", "encodings", "pipeline"),
        "oddities",
    }


@pytest.mark.parametrize(
    "command", [("inspect",), ("replay", "-o", "out.h5", "--set", "method=fft")]
)
def test_a_date_of_birth_that_is_none_is_not_told(run, raw, command):
    with h5py.File(raw, "r+") as file:
        header = file["dataset/xml"][0]
        at = header.index(b"<measurementInformation>")
        birth = b"<patientBirthdate>19800131</patientBirthdate>"
        patient = b"<subjectInformation>" + birth + b"</subjectInformation>"
        file["dataset/xml"][0] = header[:at] + patient + header[at:]
    done = run(*command, raw)
    assert done.returncode == 0, done.stderr
    assert "19800131" not in done.stdout + done.stderr


def test_names_are_not_taken_for_pictures(run, raw):
    with h5py.File(raw, "r+") as file:
        xml = file["dataset/xml"][0].replace(b"score-gadget simulation", b"t2:b:x[red]")
        file["dataset/xml"][0] = xml
    assert json.loads(run("inspect", raw, "--json").stdout)["protocol"] == "t2:b:x[red]"


def test_the_picture_and_the_group(run, raw, tmp_path):
    pytest.importorskip("matplotlib")
    with h5py.File(raw, "r+") as file:
        file.copy("dataset", "another")
    done = run("inspect", raw, "-g", "another", "--png", "mask.png")
    assert "'another'" in done.stdout
    assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG")
    assert run("inspect", raw, "-g", "none").returncode == 2


def test_what_is_odd_is_said(run, raw):
    with h5py.File(raw, "r+") as file:
        row = file["dataset/data"][20]
        row["data"][:] = float("nan")
        file["dataset/data"][20] = row
    done = run("inspect", raw)
    assert done.returncode == 0
    assert "  - There is 1 readout with samples that are not finite" in done.stdout


@pytest.mark.parametrize("spoil", ["cut", "rubbish", "no readouts"])
def test_a_broken_file_is_a_sentence(run, raw, spoil):
    if spoil == "cut":
        raw.write_bytes(raw.read_bytes()[:3000])
    else:
        with h5py.File(raw, "r+") as file:
            if spoil == "no readouts":
                file["dataset/data"].resize(0, axis=0)
            else:
                file["dataset/xml"][0] = b"<html>"
    done = run("inspect", raw)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("score-gadget: ")
    assert "Traceback" not in done.stderr and "error of score-gadget itself" not in done.stderr
    assert done.stderr.rstrip().endswith(".")


def test_no_such_file_is_a_wrong_argument(run):
    assert run("inspect", "typo.h5").returncode == 2


def test_a_noise_scan_has_no_picture(run, raw):
    with h5py.File(raw, "r+") as file:
        file["dataset/data"].resize(8, axis=0)
    done = run("inspect", raw)
    assert done.returncode == 0
    assert "No image readout came" in done.stdout
    assert "ky to the right" not in done.stdout
    assert run("inspect", raw, "--png", "mask.png").returncode == 1


def test_a_picture_that_cannot_be_written_is_a_wrong_argument(run, raw):
    done = run("inspect", raw, "--png", "nowhere/mask.png")
    assert done.returncode == 2
    assert "'nowhere/mask.png' cannot be written: No such file or directory." in done.stderr

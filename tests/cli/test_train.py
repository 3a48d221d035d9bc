from __future__ import annotations

import csv
import signal
import time

import numpy as np
import pytest

from gadget.training.config import OUTPUTS

RECIPE = """
name = "tiny"
steps = 3
batch = 2
patch = 16
precision = "float32"
[network]
kind = "unet"
widths = [4]
blocks = 1
patch = 1
embedding = 8
"""


@pytest.fixture
def recipe(tmp_path):
    """Writes the recipe, with a number of steps."""

    def write(steps: int = 3) -> str:
        text = RECIPE.replace("steps = 3", f"steps = {steps}")
        (tmp_path / "recipe.toml").write_text(text)
        return "recipe.toml"

    return write


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    np.save(folder / "disc.npy", np.stack([(x**2 + y**2 < r) * 100.0 for r in (0.4, 0.7)]))
    return folder


def test_a_training_ends_in_a_model_and_can_be_prolonged(run, recipe, data, tmp_path):
    (data / "rubbish.nii").write_text("rubbish")
    (data / "held-out").mkdir()
    np.save(data / "held-out" / "disc.npy", np.load(data / "disc.npy")[:1])
    np.save(data / "held-out" / "copy.npy", np.load(data / "disc.npy"))
    arguments = (data, "-o", "run", "--validation", data / "held-out")
    done = run("train", recipe(), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tiny, 3 steps: run/tiny\n"
    assert "rubbish.nii is left out: " in done.stderr
    assert "1 of 2 files in" in done.stderr
    assert "1 volume, 2 slices to train on" in done.stderr
    assert "2 volumes to validate on" in done.stderr
    assert "Of the 2 volumes to validate on, 1 are trained on, too" in done.stderr
    assert "step 3 of 3, loss" in done.stderr
    assert "validation loss" in done.stderr
    made = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"losses.csv", "losses.png", "samples.png", "denoised.png", "tensorboard"} <= made
    # No model may be called as one of these.
    assert made - {"tiny"} <= OUTPUTS

    done = run("train", recipe(5), *arguments)
    assert done.stdout == "tiny, 5 steps: run/tiny\n"
    assert "packed before" in done.stderr
    with (tmp_path / "run" / "losses.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "5"]
    done = run("model", "verify", "run/tiny")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_saves_before_the_end(start, recipe, data, tmp_path, number, status):
    process = start("train", recipe(1_000_000), data, "-o", "run")
    deadline = time.monotonic() + 120
    line = ""
    while "step 50 of" not in line:
        assert time.monotonic() < deadline
        line = process.stderr.readline()
        assert line, "the training has ended"
    for _ in range(2 if number == signal.SIGHUP else 1):  # shell and kernel both send it
        process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == status
    (last,) = [line for line in told.splitlines() if "stopped and saved at step" in line]
    assert last.endswith("; the same command goes on")
    step = int(last.split("step ")[1].split(";")[0])
    again = start("train", recipe(step), data, "-o", "run")
    _, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert f"going on from step {step} of {step}" in told
    assert (tmp_path / "run" / "tiny" / "model.safetensors").exists()


def test_a_recipe_that_is_wrong(run, recipe, data, tmp_path):
    (tmp_path / "recipe.toml").write_text("speed = 3\n" + RECIPE)
    done = run("train", "recipe.toml", data, "-o", "run")
    assert done.returncode == 2
    assert "speed" in done.stderr


def test_a_folder_without_images(run, recipe, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run("train", recipe(), "empty", "-o", "run")
    assert done.returncode == 1
    assert "holds no usable magnitude image" in done.stderr


@pytest.mark.parametrize("folder", ["data", "."])
def test_images_to_train_on_are_none_to_validate_on(run, recipe, data, folder):
    done = run("train", recipe(), "data", "-o", "run", "--validation", folder)
    assert done.returncode == 2
    assert "validate with images of other people" in done.stderr


def test_images_to_validate_on_that_are_missing_are_told_at_once(run, recipe, data, tmp_path):
    done = run("train", recipe(), "data", "-o", "run", "--validation", "nowhere")
    assert done.returncode == 2
    assert "'nowhere' is not one; give the folder that they are in" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_place_of_the_model_is_told_at_once(run, recipe, data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tiny").touch()
    done = run("train", recipe(), "data", "-o", "run")
    assert done.returncode == 2
    assert "The model becomes the folder 'run/tiny', and there is a file of that" in done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["tiny"]


@pytest.mark.parametrize("output", ["data", "held-out"])
def test_images_are_not_looked_for_in_the_output_folder(run, recipe, data, tmp_path, output):
    (tmp_path / "held-out").mkdir()
    done = run("train", recipe(), "data", "-o", output, "--validation", "held-out")
    assert done.returncode == 2
    assert f"The output folder ('{output}') is that of the images" in done.stderr
    assert [path.name for path in data.iterdir()] == ["disc.npy"]


def test_checkpoints_that_are_damaged_are_told(run, recipe, data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"rubbish" * 100)
    done = run("train", recipe(), data, "-o", "run")
    assert done.returncode == 1
    assert "No checkpoint in run is whole; remove them to begin anew." in done.stderr
    assert "Traceback" not in done.stderr

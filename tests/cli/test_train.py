from __future__ import annotations

import numpy as np
import pytest

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
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    np.save(folder / "disc.npy", np.stack([(x**2 + y**2 < r) * 100.0 for r in (0.4, 0.7)]))
    return folder


def test_a_training_ends_in_a_model_and_can_be_prolonged(run, data, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    done = run("train", "recipe.toml", data, "-o", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tiny, 3 steps: run/tiny\n"
    assert "step 3 of 3, loss" in done.stderr
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("steps = 3", "steps = 5"))
    assert "tiny, 5 steps" in run("train", "recipe.toml", data, "-o", "run").stdout
    done = run("model", "verify", "run/tiny")
    assert done.returncode == 0, done.stderr


def test_a_recipe_that_is_wrong(run, data, tmp_path):
    (tmp_path / "recipe.toml").write_text("speed = 3\n" + RECIPE)
    done = run("train", "recipe.toml", data, "-o", "run")
    assert done.returncode == 2
    assert "speed" in done.stderr


def test_a_folder_without_images(run, tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "empty").mkdir()
    done = run("train", "recipe.toml", "empty", "-o", "run")
    assert done.returncode == 1
    assert "holds no usable magnitude image" in done.stderr

from __future__ import annotations

import json
import shutil

import pytest
import torch


@pytest.fixture
def spoilt(models, tmp_path, monkeypatch):
    """Folder of a model `spoilt` that may be changed, beside whole ones."""
    folder = tmp_path / "more" / "spoilt"
    shutil.copytree(models / "tiny", folder)
    monkeypatch.setenv("SCORE_GADGET_MODELS", f"{folder.parent}:{models}")
    return folder


def test_models_are_listed_shown_and_verified(run, models):
    listed = run("model", "list").stdout
    assert f"tiny                 {models / 'tiny'}\n" in listed
    assert f"other                {models / 'other'}\n" in listed
    config = json.loads((models / "tiny" / "config.json").read_text())
    done = run("model", "verify", "tiny", models / "other")
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first == f"tiny is whole: sha256 {config['sha256']}"
    assert second.startswith(f"{models / 'other'} is whole: sha256 ")
    assert "config.json" not in done.stdout


def test_a_folder_that_was_renamed_is_told_beside_its_model(run, spoilt):
    done = run("model", "verify")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"spoilt", "tiny", "other"} <= lines.keys()
    assert lines["spoilt"].endswith("; images will call it tiny, as its config.json does")
    assert "config.json" not in lines["tiny"]


def test_a_model_is_described_for_a_person(run, models):
    config = json.loads((models / "tiny" / "config.json").read_text())
    lines = dict(
        line.split(maxsplit=1) for line in run("model", "show", "tiny").stdout.splitlines()
    )
    assert lines["name"] == "tiny"
    assert lines["folder"] == str(models / "tiny")
    assert lines["network"].startswith("U-Net on real and imaginary part, 0.0 million")
    assert lines["widths"] == "8, 8; 1 blocks each"
    assert lines["noise"] == "levels   0.002 to 10 of bright tissue"
    assert lines["sha256"] == config["sha256"]
    assert lines["model"] == "card     none"


def test_an_unknown_model(run, models):
    done = run("model", "show", "huge")
    assert done.returncode == 2
    assert "There is no model 'huge'" in done.stderr


def test_a_broken_model_does_not_hide_the_others(run, spoilt):
    (spoilt / "config.json").write_text("{}")
    done = run("model", "verify", "spoilt", "tiny")
    assert done.returncode == 1
    assert "Key 'name' is missing" in done.stderr
    assert done.stdout.startswith("tiny is whole")
    assert "Traceback" not in done.stderr
    assert run("model", "verify", "huge", "spoilt", "tiny").returncode == 2


def test_truncated_weights_stop_a_replay_at_once(run, spoilt, raw, pipeline):
    weights = spoilt / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    done = run("model", "verify")
    assert done.returncode == 1
    assert "truncated" in done.stderr
    assert "tiny is whole" in done.stdout
    node = ("reconstruct", "<property name='model' value='spoilt'/>")
    done = run("replay", raw, "-o", "out.h5", "-c", pipeline(node))
    assert done.returncode == 1
    assert "is not the file that its config.json names: expected sha256" in done.stderr


def test_a_published_checkpoint_becomes_a_model(run, test_data, tmp_path):
    checkpoint = test_data / "reference" / "ncsnpp" / "tiny.pth"
    done = run(
        "model", "import", checkpoint, "--name", "knee", "-o", "models", "--input-scale", 0.5
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "knee, 1 blocks of (16, 32, 32, 32) channels: models/knee"
    assert second.startswith("taken for granted, as weights do not tell: ")
    assert "skip_rescale = True" in second
    config = json.loads((tmp_path / "models" / "knee" / "config.json").read_text())
    assert config["sigma_min"] == pytest.approx(0.02)
    assert config["sigma_max"] == pytest.approx(756)
    assert config["training_steps"] == 1234
    assert run("model", "verify", "models/knee").returncode == 0
    shown = run("model", "show", "models/knee").stdout
    assert "NCSN++ on real images" in shown
    assert "model card     models/knee/README.md" in shown


def test_an_import_replaces_no_model(run, test_data, spoilt):
    before = {path.name: path.read_bytes() for path in spoilt.iterdir()}
    checkpoint = test_data / "reference" / "ncsnpp" / "tiny.pth"
    done = run("model", "import", checkpoint, "--name", "spoilt", "-o", spoilt.parent)
    assert done.returncode == 2
    assert f"There is a model in '{spoilt}' already" in done.stderr
    assert {path.name: path.read_bytes() for path in spoilt.iterdir()} == before


def test_a_checkpoint_that_is_not_there_is_a_wrong_argument(run):
    done = run("model", "import", "nowhere.pth", "--name", "knee")
    assert done.returncode == 2
    assert "The checkpoint 'nowhere.pth' does not exist" in done.stderr


def test_another_checkpoint_is_refused_with_a_sentence(run, tmp_path):
    torch.save({"state_dict": {"input_blocks.0.0.weight": torch.zeros(1)}}, tmp_path / "adm.pt")
    done = run("model", "import", "adm.pt", "--name", "adm")
    assert done.returncode == 1
    assert "no ADM that resamples in its residual blocks" in done.stderr
    assert not (tmp_path / "adm").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--name", "../knee"), "'../knee' is no name of a model"),
        (("--name", ""), "'' is no name of a model"),
        (("--name", "auto"), "'auto' is no name of a model"),
        (("--name", "knee\x1b[2J"), r"'knee\x1b[2J' is no name of a model"),
        (("--name", "knee", "--input-scale", 0), "--input-scale"),
        (("--name", "knee", "-o", "file"), "'file/knee' cannot be written: Not a directory."),
    ],
)
def test_where_no_model_can_be_put(run, test_data, tmp_path, arguments, sentence):
    (tmp_path / "file").touch()
    checkpoint = test_data / "reference" / "ncsnpp" / "tiny.pth"
    done = run("model", "import", checkpoint, *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())

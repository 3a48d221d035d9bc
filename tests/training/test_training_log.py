from __future__ import annotations

import csv
import logging
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gadget.training import pictures
from gadget.training.training_log import TrainingLog
from gadget.training.validation import Validation, noise_levels


def _rows(folder):
    with (folder / "losses.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def no_pictures(monkeypatch):
    monkeypatch.setattr(TrainingLog, "_draw", lambda training_log: None)


def _training_log(folder, trainer, volumes=None):
    return TrainingLog(folder, trainer, Validation(trainer.config, volumes) if volumes else None)


def test_losses_are_a_table(tmp_path, make_trainer, volumes, no_pictures, caplog):
    caplog.set_level(logging.INFO)
    trainer = make_trainer(sigma_max=1.0)
    training_log = _training_log(tmp_path, trainer, volumes)
    trainer.step = 50
    training_log.write(0.75)
    trainer.step = 100
    training_log.write(0.5)
    training_log.validate_and_draw()
    training_log.close()
    first, second = _rows(tmp_path)
    levels = ["sigma_0.005", "sigma_0.015", "sigma_0.05", "sigma_0.15", "sigma_0.5"]
    assert list(first) == ["step", "training", "validation", *levels]
    assert list(first.values()) == ["50", "0.75", "", "", "", "", "", ""]
    losses = Validation(trainer.config, volumes).losses(trainer)
    found = [float(second[name]) for name in levels]
    np.testing.assert_allclose(found, list(losses.values()), rtol=1e-4)
    assert float(second["validation"]) == pytest.approx(np.mean(found), rel=1e-4)
    assert (second["step"], second["training"]) == ("100", "0.5")
    assert f"by noise level: {found[0]:.3f} at 0.005" in caplog.text


def test_steps_to_come_are_taken_back(tmp_path, make_trainer):
    trainer = make_trainer()
    training_log = _training_log(tmp_path, trainer)
    for trainer.step in (50, 100, 150):
        training_log.write(0.5)
    trainer.step = 120
    again = _training_log(tmp_path, trainer)
    trainer.step = 150
    again.write(0.25)
    assert [row["step"] for row in _rows(tmp_path)] == ["50", "100", "150"]
    assert _rows(tmp_path)[-1]["training"] == "0.25"


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00rubbish"])
def test_a_table_of_something_else_is_replaced(tmp_path, make_trainer, content):
    (tmp_path / "losses.csv").write_bytes(content)
    training_log = _training_log(tmp_path, make_trainer())
    training_log.write(0.5)
    assert [row["training"] for row in _rows(tmp_path)] == ["0.5"]


def test_tensorboard_shows_losses_and_pictures(tmp_path, make_trainer, volumes):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = make_trainer(sigma_max=0.1)
    training_log = _training_log(tmp_path, trainer, volumes)
    trainer.step = 7
    training_log.write(0.5)
    training_log.validate_and_draw()
    training_log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    names = {f"sigma_{sigma:g}" for sigma in noise_levels(trainer.config)}
    losses = {f"loss/{name}" for name in ({"training", "validation"} | names)}
    assert set(events.Tags()["scalars"]) == {"learning rate", *losses}
    assert set(events.Tags()["images"]) == {"losses", "samples", "denoised"}
    (loss,) = events.Scalars("loss/training")
    assert (loss.step, loss.value) == (7, 0.5)
    for name in ("losses", "samples", "denoised"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert not list(tmp_path.glob(".*"))


def test_without_the_extra_there_is_the_table_alone(tmp_path, make_trainer, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    for name in ("matplotlib", "matplotlib.figure", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "gadget.training.pictures", raising=False)
    monkeypatch.delattr(sys.modules["gadget.training"], "pictures", raising=False)
    training_log = _training_log(tmp_path, make_trainer())
    training_log.write(0.5)
    training_log.validate_and_draw()
    training_log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["losses.csv"]
    assert caplog.text.count("pip install 'score-gadget[train]'") == 2


def test_the_curves_are_those_of_the_table():
    rows = [
        {"step": "50", "training": "0.9", "validation": "", "sigma_0.5": ""},
        {"step": "100", "training": "0.8", "validation": "0.7", "sigma_0.5": "0.6"},
    ]
    (axes,) = pictures.loss_figure(rows).axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert curves == {
        "training": [[50, 0.9], [100, 0.8]],
        "validation": [[100, 0.7]],
        "sigma_0.5": [[100, 0.6]],
    }


def test_a_sheet_shows_patches_noisy_denoised_and_clean(make_trainer, volumes):
    trainer = make_trainer(sigma_max=0.1)
    checked = Validation(trainer.config, volumes)
    (axes,) = pictures.denoising_sheet(trainer, checked).axes
    sheet = axes.images[0].get_array()
    levels = noise_levels(trainer.config)
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{s:g}" for s in levels]
    assert sheet.shape == (16 * len(levels), 16 * 12)

    noisy, denoised = checked.denoised(trainer, levels[1], 4)
    clean = checked.clean[:4]
    expected = torch.cat([noisy, denoised, clean]).square().sum(dim=1).sqrt()
    # One patch has one grey scale, whatever the noise.
    white = clean.square().sum(dim=1).sqrt().amax(dim=(1, 2)).repeat(3)
    shown = np.hstack(list(expected / white[:, None, None]))
    np.testing.assert_allclose(sheet[16:32], shown, rtol=1e-4)


def test_a_full_disk_does_not_end_a_training(tmp_path, make_trainer, monkeypatch, caplog):
    training_log = _training_log(tmp_path, make_trainer())

    def full(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "replace", full)
    training_log.write(0.5)
    training_log.validate_and_draw()
    training_log.close()
    assert caplog.text.count("is not written: No space left on device") == 2


@pytest.mark.parametrize("call", ["add_scalar", "close"])
def test_a_disk_too_full_for_events_is_told_once(tmp_path, make_trainer, monkeypatch, caplog, call):
    from torch.utils.tensorboard import SummaryWriter

    def full(writer, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, call, full)
    training_log = _training_log(tmp_path, make_trainer())
    for _ in range(3):
        training_log.write(0.5)
    training_log.close()
    assert caplog.text.count("is not written: No space left on device") == 1
    assert len(_rows(tmp_path)) == 3


def test_a_folder_that_takes_no_events(tmp_path, make_trainer, caplog):
    (tmp_path / "tensorboard").touch()
    training_log = _training_log(tmp_path, make_trainer())
    training_log.write(0.5)
    training_log.close()
    assert f"The training log in {tmp_path} is not written: File exists" in caplog.text
    assert len(_rows(tmp_path)) == 1

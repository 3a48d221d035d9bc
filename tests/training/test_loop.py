from __future__ import annotations

import csv
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from gadget.errors import ConfigError, DataError, DeviceMemoryError
from gadget.training import loop
from gadget.training.examples import Examples, batches
from gadget.training.loop import train
from gadget.training.ranks import Ranks
from gadget.training.trainer import Trainer
from gadget.training.training_log import TrainingLog
from gadget.training.validation import Validation

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """They take longer than these trainings."""
    monkeypatch.setattr(TrainingLog, "_draw", lambda training_log: None)


class Killed(Exception):  # noqa: N818 - no error, but what a test does
    """Ends a training in the middle."""


def _silent(progress) -> None:
    pass


@pytest.fixture
def folders(tmp_path):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    return tmp_path / "whole", tmp_path / "parts"


def _kill_at(trainer: Trainer, step: int, monkeypatch) -> None:
    update = trainer.update

    def killed_later(batch):
        if trainer.step == step:
            raise Killed
        return update(batch)

    monkeypatch.setattr(trainer, "update", killed_later)


def test_the_loss_falls(tmp_path, make_trainer, make_config, volumes):
    told = []
    trainer = make_trainer(steps=100, batch=16, learning_rate=5e-3, precision="float32")
    validation = Validation(trainer.config, volumes)
    before = np.mean(list(validation.losses(trainer).values()))
    train(trainer, volumes, tmp_path, told.append)
    assert np.mean(list(validation.losses(trainer).values())) < 0.9 * before
    assert [progress.step for progress in told] == [0, 50, 100]
    assert all(progress.steps == 100 for progress in told)
    assert told[0].loss is None
    assert told[-1].loss < told[1].loss


@pytest.mark.parametrize("at", [1, 5, 11])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    folders, make_trainer, volumes, monkeypatch, assert_same, at
):
    whole = make_trainer()
    train(whole, volumes, folders[0], _silent)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    stopped = make_trainer()
    _kill_at(stopped, at, monkeypatch)
    with pytest.raises(Killed):
        train(stopped, volumes, folders[1], _silent)
    torch.manual_seed(999)
    resumed = make_trainer()
    train(resumed, volumes, folders[1], _silent)
    assert resumed.step == 12
    assert_same(whole, resumed)


def test_a_training_that_is_asked_to_stop_saves_and_goes_on_later(
    folders, make_trainer, volumes, assert_same
):
    whole, stopped, resumed = (make_trainer() for _ in range(3))
    train(whole, volumes, folders[0], _silent)
    train(stopped, volumes, folders[1], _silent, stop=lambda: stopped.step >= 7)
    assert stopped.step == 7
    assert not list(folders[1].glob("*.png"))
    train(resumed, volumes, folders[1], _silent)
    assert_same(whole, resumed)


@pytest.mark.gpu
def test_a_gpu_goes_on_bit_for_bit(folders, make_config, volumes, assert_same):
    whole, stopped, resumed = (Trainer(make_config(), torch.device("cuda")) for _ in range(3))
    train(whole, volumes, folders[0], _silent)
    train(stopped, volumes, folders[1], _silent, stop=lambda: stopped.step >= 7)
    train(resumed, volumes, folders[1], _silent)
    assert_same(whole, resumed)


def test_validation_changes_nothing(folders, make_trainer, volumes, monkeypatch, assert_same):
    monkeypatch.setattr(loop, "REPORT_STEPS", 5)
    monkeypatch.setattr(loop, "VALIDATION_STEPS", 5)
    monkeypatch.setattr(loop, "VALIDATION_SECONDS", -1.0)
    one, other = make_trainer(), make_trainer()
    train(one, volumes, folders[0], _silent)
    train(other, volumes, folders[1], _silent, validation=Validation(other.config, volumes))
    assert_same(one, other)
    with (folders[1] / "losses.csv").open() as file:
        validated = {row["step"]: bool(row["validation"]) for row in csv.DictReader(file)}
    assert validated == {"5": True, "10": True, "12": True}


TRAINING = """
    import sys
    from pathlib import Path
    import numpy as np
    import torch
    from gadget.training import loop
    from gadget.training.config import TrainingConfig
    from gadget.training.trainer import Trainer

    folder = Path(sys.argv[1])
    loop.CHECKPOINT_SECONDS = -1.0
    config = TrainingConfig.model_validate_json((folder / "config.json").read_text())
    volumes = [[image] for image in np.load(folder / "images.npy")]
    loop.train(Trainer(config, torch.device("cpu")), volumes, folder, print)
"""


def test_a_killed_process_leaves_a_checkpoint_to_go_on_from(
    tmp_path, make_config, volumes, assert_same
):
    config = make_config(steps=100_000)
    image = volumes[0][0]
    np.save(tmp_path / "images.npy", image[None])
    (tmp_path / "config.json").write_text(config.model_dump_json())
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(TRAINING), str(tmp_path)])
    deadline = time.monotonic() + 120
    try:
        while not (tmp_path / "checkpoint.previous.pt").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    resumed = Trainer(config, CPU)
    resumed.restore(loop.Checkpoints(tmp_path).load(CPU))
    assert resumed.step >= 1
    # The same number of steps without a break.
    again = Trainer(config, CPU)
    examples = Examples(config, [[image]], config.seed)
    for _, batch in zip(
        range(resumed.step), batches(examples, config, 0, Ranks(), 0), strict=False
    ):
        again.update(batch)
    assert_same(again, resumed)


def test_a_finished_training_does_nothing_and_can_be_prolonged(
    tmp_path, make_trainer, volumes, assert_same
):
    trainer = make_trainer(steps=3)
    train(trainer, volumes, tmp_path, _silent)
    told = []
    again = make_trainer(steps=3)
    train(again, volumes, tmp_path, told.append)
    assert [progress.step for progress in told] == [3]
    assert_same(trainer, again)
    longer = make_trainer(steps=5)
    train(longer, volumes, tmp_path, told.append)
    assert longer.step == told[-1].step == 5


def test_the_checkpoint_of_another_recipe_is_an_error(tmp_path, make_trainer, volumes):
    train(make_trainer(steps=1), volumes, tmp_path, _silent)
    with pytest.raises(ConfigError, match=r"another recipe \(different: batch\)"):
        train(make_trainer(batch=3), volumes, tmp_path, _silent)


def _spoil(trainer: Trainer, monkeypatch, at: list[int], what: str) -> None:
    """Let updates from these steps fail, each once."""
    update = trainer.update

    def spoilt(batch):
        loss = update(batch)
        if trainer.step in at:
            at.remove(trainer.step)
            if what == "weights":
                with torch.no_grad():
                    trainer.denoiser.network.head.bias[:] = torch.nan
            else:
                return loss * torch.nan
        return loss

    monkeypatch.setattr(trainer, "update", spoilt)


@pytest.mark.parametrize("what", ["loss", "weights"])
def test_a_loss_that_is_no_number_leads_back_to_the_last_good_checkpoint(
    tmp_path, make_trainer, volumes, monkeypatch, caplog, what
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(loop, "REPORT_STEPS", 4)
    trainer = make_trainer()
    _spoil(trainer, monkeypatch, [6, 7], what)
    told = []
    train(trainer, volumes, tmp_path, told.append)
    assert trainer.step == 12
    assert trainer.is_finite()
    assert [progress.step for progress in told][-2:] == [8, 12]
    back = [message for message in caplog.messages if "back to step" in message]
    assert len(back) == trainer.rollbacks >= 1
    with (tmp_path / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    assert all(np.isfinite(float(row["training"])) for row in rows)


def test_weights_that_are_no_numbers_are_never_saved(tmp_path, make_trainer, volumes, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    trainer = make_trainer()
    _spoil(trainer, monkeypatch, [6], "weights")
    _kill_at(trainer, 9, monkeypatch)
    with pytest.raises(Killed):
        train(trainer, volumes, tmp_path, _silent)
    state = loop.Checkpoints(tmp_path).load(CPU)
    assert state["step"] == 5
    assert all(value.isfinite().all() for value in state["weights"].values())


def test_after_a_retreat_the_patches_are_others(
    tmp_path, make_trainer, volumes, monkeypatch, assert_same
):
    (tmp_path / "parts").mkdir()
    plain, trainer = make_trainer(steps=4), make_trainer(steps=4)
    train(plain, volumes, tmp_path / "parts", _silent)
    _spoil(trainer, monkeypatch, [2], "loss")
    train(trainer, volumes, tmp_path, _silent)
    assert trainer.rollbacks == 1
    with pytest.raises(AssertionError):
        assert_same(plain, trainer)


def test_a_training_that_diverges_again_and_again_is_given_up(
    tmp_path, make_trainer, volumes, monkeypatch, caplog
):
    trainer = make_trainer(steps=3)
    _spoil(trainer, monkeypatch, [3] * 100, "loss")
    with pytest.raises(DataError, match=r"lower the learning rate \(0\.002\) and train into ano"):
        train(trainer, volumes, tmp_path, _silent)
    assert (
        len([m for m in caplog.messages if "The loss is nan at step 3: back to step 0" in m]) == 5
    )


def test_the_log_goes_back_with_the_training(tmp_path, make_trainer, volumes, monkeypatch):
    monkeypatch.setattr(loop, "REPORT_STEPS", 2)
    stopped = make_trainer()
    _kill_at(stopped, 7, monkeypatch)
    with pytest.raises(Killed):
        train(stopped, volumes, tmp_path, _silent)
    train(make_trainer(), volumes, tmp_path, _silent)
    with (tmp_path / "losses.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [2, 4, 6, 8, 10, 12]


def test_a_device_that_is_too_small_is_told(tmp_path, make_trainer, volumes, monkeypatch):
    trainer = make_trainer()

    def full(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "update", full)
    with pytest.raises(
        DeviceMemoryError, match=r"2 patches of 16 x 16 are too much .* lower `batch`"
    ):
        train(trainer, volumes, tmp_path, _silent)


def test_patches_that_are_too_much_for_the_memory_are_told(
    tmp_path, make_trainer, volumes, little_memory
):
    trainer = make_trainer(patch=2**15)
    with pytest.raises(
        DeviceMemoryError, match=r"2 patches of 32768 x 32768 are too much for .* cpu"
    ):
        train(trainer, volumes, tmp_path, _silent)


def test_what_goes_on_is_told(tmp_path, make_trainer, volumes, caplog):
    caplog.set_level(logging.INFO)
    train(make_trainer(steps=3), volumes, tmp_path, _silent)
    train(make_trainer(steps=4), volumes, tmp_path, _silent)
    assert "going on from step 3 of 4" in caplog.text

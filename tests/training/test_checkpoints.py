from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from gadget.errors import ConfigError, DataError
from gadget.training.checkpoints import Checkpoints

CPU = torch.device("cpu")


def _state(step: int) -> dict:
    return {"config": "{}", "step": step, "weights": {"a": torch.full((5000,), float(step))}}


def _flip(path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0xFF
    path.write_bytes(content)


def test_the_newest_checkpoint_is_loaded(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load(CPU) is None
    for step in range(3):
        checkpoints.save(_state(step))
    found = checkpoints.load(CPU)
    assert found["step"] == 2
    assert torch.equal(found["weights"]["a"], _state(2)["weights"]["a"])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.pt", "checkpoint.previous.pt"}


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.999])
def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(tmp_path, caplog, at):
    checkpoints = Checkpoints(tmp_path)
    for step in range(2):
        checkpoints.save(_state(step))
    _flip(tmp_path / "checkpoint.pt", at)
    assert checkpoints.load(CPU)["step"] == 0
    (line,) = caplog.messages
    assert line.startswith(f"The checkpoint {tmp_path / 'checkpoint.pt'} is damaged: ")
    assert "\n" not in line
    # The whole one survives the next save.
    checkpoints.save(_state(2))
    _flip(tmp_path / "checkpoint.pt", at)
    assert checkpoints.load(CPU)["step"] == 0


@pytest.mark.parametrize("content", [b"", b"no checkpoint" * 100])
def test_without_a_whole_checkpoint_nothing_is_begun_anew(tmp_path, content):
    Checkpoints(tmp_path).save(_state(1))
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"No checkpoint in .* is whole; remove them to begin"):
        Checkpoints(tmp_path).load(CPU)


def test_a_file_of_another_program_is_no_checkpoint(tmp_path, caplog):
    torch.save({"model": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError):
        Checkpoints(tmp_path).load(CPU)
    assert "it is no checkpoint of a training" in caplog.text


@pytest.mark.parametrize("moment", ["while it is written", "before its name", "between the names"])
def test_a_kill_in_a_save_leaves_a_checkpoint(tmp_path, monkeypatch, moment):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_state(1))
    checkpoints.save(_state(2))

    class Killed(BaseException):
        pass

    def killed(*arguments):
        raise Killed

    def cut(state, file):
        file.write(b"half a checkp")
        raise Killed

    replace = type(tmp_path).replace

    def only_the_first(path, target):
        if path.suffix == ".partial":
            raise Killed
        return replace(path, target)

    patches = {
        "while it is written": (torch, "save", cut),
        "before its name": (os, "fsync", killed),
        "between the names": (type(tmp_path), "replace", only_the_first),
    }
    monkeypatch.setattr(*patches[moment])
    with pytest.raises(Killed):
        checkpoints.save(_state(3))
    assert checkpoints.load(CPU)["step"] == 2
    monkeypatch.undo()
    checkpoints.save(_state(4))
    assert checkpoints.load(CPU)["step"] == 4


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot be written: No space left on device\. Make ro"):
        Checkpoints(tmp_path).save(_state(1))
    assert not list(tmp_path.iterdir())


def test_a_limit_on_the_size_of_files_is_told(tmp_path):
    """Torch's own writer notices it, and raises no error of the system."""
    script = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from gadget.training.checkpoints import Checkpoints\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "Checkpoints(Path(sys.argv[1])).save({'weights': torch.zeros(5000)})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert "ConfigError: The checkpoint" in last
    assert "enforce fail" not in last
    assert not list(tmp_path.iterdir())

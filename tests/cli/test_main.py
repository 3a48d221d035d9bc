from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import typer

import gadget
from gadget.cli import main
from gadget.cli.main import app


def commands(command, name):
    """Return a command and all below it, by what is typed to reach them."""
    found = {name: command}
    for below in getattr(command, "commands", {}).values():
        found |= commands(below, f"{name} {below.name}")
    return found


LONG = "a" * 300
COMMANDS = commands(typer.main.get_command(app), "score-gadget")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example(name):
    assert f"Example: {name}" in COMMANDS[name].help


def test_the_version(run):
    done = run("--version")
    assert done.stdout == f"score-gadget {gadget.__version__}\n"


def test_no_command_is_no_success(run):
    done = run("reconstruct")
    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_an_interrupt_during_the_imports_shows_no_traceback(start, tmp_path):
    (tmp_path / "typer.py").write_text("import time; print('here', flush=True); time.sleep(60)")
    process = start("--version", stdout=subprocess.PIPE)
    assert process.stdout.readline() == "here\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_the_traceback_is_in_the_detailed_log_only(run, tmp_path):
    (tmp_path / "notes.txt").write_text("not raw data")
    arguments = ("replay", "notes.txt", "-o", "out.h5")
    assert "Traceback" not in run(*arguments).stderr
    assert "Traceback" in run("-v", *arguments).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", LONG),
        ("convert", LONG, "--png", "p"),
        ("replay", LONG, "-o", "out.h5"),
        ("replay", "raw.h5", "-o", LONG),
        ("replay", "raw.h5", "-o", "out.h5", "-c", LONG),
    ],
)
def test_a_name_that_the_system_refuses_is_a_wrong_argument(run, raw, arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert f"'{LONG}' could not be read or written: File name too long." in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a device of Linux")
def test_a_full_disk_behind_standard_output_is_no_error_of_the_program(start):
    with Path("/dev/full").open("w") as full:
        process = start("model", "list", stdout=full)
        assert process.stderr is not None
        assert "could not be read or written: No space left on device." in process.stderr.read()
    assert process.wait() == 1


def test_of_an_unexpected_error_the_first_line_is_told(monkeypatch, capsys):
    def fail():
        raise RuntimeError("CUDA error: misaligned address\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="1"):
        main.main()
    told = capsys.readouterr().err
    assert told.startswith("score-gadget: RuntimeError: CUDA error: misaligned address. That is an")
    assert "TORCH_USE_CUDA_DSA" not in told

"""`score-gadget replay` of many files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from waiting import wait_until

from gadget.mrd.images.reader import read_images

COHORT_TARGETS = Path(__file__).resolve().parents[1] / "cohort" / "targets"


@pytest.fixture
def data(raw, tmp_path):
    """The same raw data in a folder and in a folder below."""
    for place in ("data/a.h5", "data/sub/a.h5"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(raw.read_bytes())
    return tmp_path / "data"


@pytest.fixture
def quick(run, start, node_path, tmp_path):
    """Writes a pipeline of one node that needs no torch."""
    node_path(COHORT_TARGETS)

    def write(node: str) -> Path:
        path = tmp_path / "quick.xml"
        path.write_text(
            "<configuration><version>2</version><stream><external>"
            f'<execute name="cohort_targets" target="{node}" type="python"/><configuration/>'
            "</external></stream></configuration>"
        )
        return path

    return write


def outputs(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def at_home(folder: Path) -> list[Path]:
    """Return the processes that work in a folder."""
    return [
        process.parent
        for process in Path("/proc").glob("[0-9]*/cwd")
        if os.path.realpath(process) == str(folder)
    ]


def test_a_folder_of_all_sorts(run, raw, data, quick, tmp_path):
    (data / "cut.h5").write_bytes(raw.read_bytes()[:3000])
    (data / "empty.h5").touch()
    (data / "notes.txt").write_text("not raw data")
    command = ("replay", "data", "-o", "out/", "-c", quick("pictures"), "--jobs", "2")
    done = run(*command)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    *lines, total = done.stdout.splitlines()
    words = {line.split()[0]: line for line in lines}
    assert set(words) == {"a", "cut", "empty", "sub/a"}
    assert words["a"].endswith(" s  2 images")
    for name in ("cut", "empty"):
        assert "failed: " in words[name]
        assert "not a readable HDF5 file" in words[name]
        assert f"{name}: '{data / name}.h5' is not a readable" in done.stderr
    assert total == "4 files: 2 done, 0 finished before, 2 failed: out"
    assert "(4 of 4 files, 4 images)" in done.stderr
    assert "WARNING gadget.node.pictures: sub/a: slice 1 is made" in done.stderr
    assert outputs(tmp_path / "out") == ["a.h5", "sub/a.h5"]

    (data / "cut.h5").unlink()
    (data / "empty.h5").unlink()
    again = run(*command)
    assert again.returncode == 0
    assert again.stdout == "2 files: 0 done, 2 finished before, 0 failed: out\n"


def test_the_same_command_finishes_what_was_interrupted(start, run, data, quick, tmp_path):
    stick, out = tmp_path / "stick", tmp_path / "out"
    command = ("replay", "data/sub", "-o", "out/", "-c", quick("sticks_once"))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        stick.touch()
        process = start(*command)
        wait_until(lambda: not stick.exists())
        process.send_signal(number)
        told = " ".join(process.communicate(timeout=30)[1].split())
        left = list(out.iterdir())
        wait_until(lambda: not at_home(tmp_path))
        if number == signal.SIGKILL:
            assert [path.suffix for path in left] == [".partial"]
        else:
            assert process.returncode == 128 + number
            assert "0 of 1 files are finished; the same command goes on" in told
            assert left == []
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in out.iterdir()] == ["a.h5"]
    assert len(read_images(out / "a.h5")) == 2


def test_one_file_goes_to_a_folder_that_is_there(run, raw, pipeline, tmp_path):
    (tmp_path / "out").mkdir()
    done = run("replay", raw, "-o", "out", "-c", pipeline("loses"))
    assert done.returncode == 1
    assert done.stdout.startswith("raw  ")
    assert "Only 1 of 2 images came out" in done.stdout
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["raw.h5"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("data", "-o", "raw.h5"), "'raw.h5' is a file; the images of many files"),
        (("data", "-o", "OUT.H5"), "'OUT.H5' is a file; the images of many files"),
        (("raw.h5", "-o", "o.h5", "-j", "2"), "Write 'o.h5/' if it is to be one."),
        (("raw.h5", "-o", "out/", "--set", "metod=fft"), "did you mean 'method'?"),
        (("raw.h5", "-o", "out.h5", "--set", "method"), "--set needs a name and a value"),
        (("raw.h5", "-o", "out.h5", "--server", "here"), "expected host:port"),
    ],
)
def test_misuse_is_told_before_anything_runs(run, data, tmp_path, arguments, sentence):
    before = outputs(tmp_path)
    done = run("replay", *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert outputs(tmp_path) == before


def test_a_name_in_another_encoding_is_a_name(run, data, quick, tmp_path):
    (data / "a.h5").rename(data / os.fsdecode(b"M\xfcller.h5"))
    command = ("replay", "data/", "-o", "out/", "-c", quick("pictures"), "--png", "png")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = run(*command, env=environment)
    assert done.returncode == 0, done.stderr
    assert "M?ller" in done.stdout
    again = run(*command, env=environment)
    assert "0 done, 2 finished before, 0 failed" in again.stdout

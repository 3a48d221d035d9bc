from __future__ import annotations

import os

import pytest

from gadget.errors import ConfigError
from gadget.files import atomic_write, make_folder, safe_write


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / "image.nii.gz"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert part.name.endswith(".nii.gz")
        assert path.read_text() == "old"
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("image.nii.gz", "new")]


def test_after_an_error_a_file_is_as_it_was(tmp_path):
    path = tmp_path / "losses.csv"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("losses.csv", "old")]


def test_a_pipe_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        pytest.raises(ConfigError, match=r"pipe' cannot be written: it is no regular file\."),
        safe_write(pipe, ConfigError) as part,
    ):
        part.write_text("new")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_folder_is_made_with_those_above_it(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"The folder '.*file/c' cannot be made: Not a directory"):
        make_folder(tmp_path / "file" / "c")

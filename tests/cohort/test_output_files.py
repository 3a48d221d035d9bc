"""Outputs come to be out of the way, and one run at a time writes to a folder."""

from __future__ import annotations

import pytest

from gadget.cohort.output_files import locked_folder, move_into_place, working_folder
from gadget.errors import ConfigError, DataError


def test_nothing_is_left_of_a_working_folder(tmp_path):
    output = tmp_path / "out" / "a.h5"
    with pytest.raises(KeyboardInterrupt), working_folder(output) as folder:
        assert folder.parent == output.parent
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert list(output.parent.iterdir()) == []


def test_an_output_appears_whole(tmp_path):
    output = tmp_path / "a.h5"
    output.write_text("old")
    with working_folder(output) as folder:
        (folder / "new").write_text("new")
        assert output.read_text() == "old"
        move_into_place(folder / "new", output)
    assert output.read_text() == "new"
    assert list(tmp_path.iterdir()) == [output]


def test_a_place_that_is_none_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"a\.h5' cannot be written: "):
        working_folder(tmp_path / "file" / "a.h5").__enter__()
    with (
        pytest.raises(ConfigError, match=r"out' cannot be written to: Not a dir.* Choose"),
        locked_folder(tmp_path / "file" / "out", []),
    ):
        pass
    (tmp_path / "a.h5").mkdir()
    (tmp_path / "a.h5" / "content").touch()
    (tmp_path / "images").touch()
    with pytest.raises(DataError, match=r"a\.h5' cannot be written"):
        move_into_place(tmp_path / "images", tmp_path / "a.h5")


def test_one_run_at_a_time(tmp_path):
    folder = tmp_path / "new" / "out"
    with (
        locked_folder(folder, []),
        pytest.raises(ConfigError, match="Another run is writing to"),
        locked_folder(folder, []),
    ):
        pass
    with locked_folder(folder, []):
        pass


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    left, mine = tmp_path / ".a.h5.x1y2.partial", tmp_path / "notes.partial"
    for folder in (left, mine):
        folder.mkdir()
        (folder / "half").touch()
    with locked_folder(tmp_path, [tmp_path / "b.h5"]):
        assert not left.exists()
        left.mkdir()
    assert not left.exists()
    assert (mine / "half").exists()

"""What is to be done for a cohort, and what is done already."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from gadget.cohort import record
from gadget.cohort.exports import Export
from gadget.cohort.plan import make_plan
from gadget.cohort.record import read_record, write_record
from gadget.errors import ConfigError
from gadget.mrd.images.writer import ImageWriter

ROOT = Path(__file__).resolve().parents[2]
FAST = (
    '<configuration><version>2</version><stream><external><execute name="gadget.nodes.reconstruct" '
    'target="reconstruct" type="python"/><configuration><property name="model" value="{}"/>'
    "</configuration></external></stream></configuration>"
)


@pytest.fixture
def finish(plan):
    """Writes outputs, as if their tasks had been carried out."""

    def write(recipe, *arguments) -> None:
        for task in plan(recipe, *arguments).tasks:
            task.output.parent.mkdir(parents=True, exist_ok=True)
            with ImageWriter(task.output, recipe.out_group) as writer:
                writer.append(ismrmrd.Image.from_array(np.ones((1, 1, 2, 2), np.float32)))
            write_record(task.output, recipe.out_group, task.record)

    return write


def names(plan) -> list[str]:
    return [task.name for task in plan.tasks]


def test_a_folder_is_searched_to_its_ends(plan, recipe, data, tmp_path):
    folder = data("b.h5", "a.HDF5", "one/raw.h5", "two/raw.h5", "two/deep/x.mrd", ".hidden.h5")
    data("notes.txt", ".git/c.h5")
    found = plan(recipe(), folder)
    assert names(found) == ["a", "b", "one/raw", "two/deep/x", "two/raw"]
    assert found.tasks[2].output == tmp_path / "out" / "one" / "raw.h5"
    assert found.tasks[2].raw == folder / "one" / "raw.h5"


def test_a_folder_that_cannot_be_read_is_not_passed_over(plan, recipe, data, monkeypatch):
    folder = data("a.h5", "closed/b.h5")
    scan = os.scandir

    def scandir(place):  # permissions do not stop whoever runs tests as root
        if Path(place).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ConfigError, match="closed' cannot be read: Permission denied"):
        plan(recipe(), folder)


def test_a_dangling_link_does_not_stop_the_others(plan, recipe, data):
    folder = data("a.h5", "c.h5")
    (folder / "b.h5").symlink_to(folder / "nowhere.h5")
    assert names(plan(recipe(), folder)) == ["a", "b", "c"]


def test_linked_folders_count_once_and_no_circle_is_endless(plan, recipe, data, tmp_path):
    folder = data("a.h5", "one/b.h5")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "c.h5").write_bytes((folder / "a.h5").read_bytes())
    (folder / "patient").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder / "one")
    (folder / "circle").symlink_to(folder)
    assert names(plan(recipe(), folder)) == ["a", "again/b", "patient/c"]


def test_outputs_below_the_data_are_no_data(recipe, data):
    folder = data("a.h5", "out/b.h5")
    assert names(make_plan([folder], folder / "out", recipe())) == ["a"]


def test_files_are_named_by_their_stems_and_taken_once(plan, recipe, data, monkeypatch):
    folder = data("scan.1.h5", "b.h5")
    monkeypatch.chdir(folder)
    found = plan(recipe(), folder / "scan.1.h5", folder / ".." / "data" / "scan.1.h5", folder)
    assert names(found) == ["scan.1", "b"]
    assert [task.output.name for task in found.tasks] == ["scan.1.h5", "b.h5"]


def test_two_files_with_one_output_are_refused(plan, recipe, data):
    folder = data("one/raw.h5", "two/raw.h5")
    with pytest.raises(ConfigError, match=r"one/raw.h5' and .*two/raw.h5' have the same output"):
        plan(recipe(), folder / "one" / "raw.h5", folder / "two" / "raw.h5")


def test_files_that_only_their_suffixes_tell_apart_keep_them(plan, recipe, data):
    folder = data("a.h5", "a.mrd", "b.h5", "deep/a.H5", "deep/a.h5")
    assert names(plan(recipe(), folder)) == ["a.h5", "a.mrd", "b", "deep/a.H5", "deep/a.h5"]


def test_raw_data_are_not_written_over(recipe, data, tmp_path):
    folder = data("a.h5", "other/a.h5")
    with pytest.raises(ConfigError, match=r"data/a.h5' is raw data itself"):
        make_plan([folder / "a.h5"], folder, recipe())
    with pytest.raises(ConfigError, match=r"other/a.h5' holds raw data; choose another"):
        make_plan([folder / "a.h5"], folder / "other", recipe())
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(ConfigError, match="is raw data itself"):
        make_plan([folder / "a.h5"], link, recipe())


def test_images_do_not_go_among_the_raw_data_of_a_folder(recipe, data, tmp_path):
    folder = data("a.mrd")
    link = tmp_path / "link"
    link.symlink_to(folder)
    for output in (folder, link):
        with pytest.raises(ConfigError, match="is the folder of the raw data"):
            make_plan([folder], output, recipe())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nothing.h5", "nothing.h5' does not exist"), ("empty", "holds no file that ends in .h5")],
)
def test_nothing_to_reconstruct(plan, recipe, tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(ConfigError, match=sentence):
        plan(recipe(), tmp_path / name)


def test_what_is_finished_is_not_done_again(plan, recipe, data, finish):
    folder = data("a.h5", "b.h5", "c.h5")
    finish(recipe(), folder / "a.h5", folder / "b.h5")
    found = plan(recipe(), folder)
    assert (names(found), found.finished, found.outdated) == (["c"], 2, 0)


def test_moved_data_and_comments_change_nothing(plan, recipe, data, finish, tmp_path):
    folder = data("a.h5")
    finish(recipe(), folder)
    shutil.copytree(folder, tmp_path / "moved")
    text = recipe().pipeline.replace("<stream>", "<!-- why -->\n  <stream>\n")
    found = plan(dataclasses.replace(recipe(), pipeline=text), tmp_path / "moved")
    assert (names(found), found.finished) == ([], 1)


def test_what_was_made_in_another_way_is_done_again(plan, recipe, data, finish, monkeypatch):
    folder = data("a.h5")
    finish(recipe(), folder)
    for other in (recipe("kills"), recipe(in_group="dataset"), recipe(server="localhost:9002")):
        found = plan(other, folder)
        assert (names(found), found.outdated) == (["a"], 1)
        assert found.tasks[0].reconstruct
    monkeypatch.setattr(record, "__version__", "0.0.0")
    assert plan(recipe(), folder).outdated == 1


def test_other_data_are_reconstructed_again(plan, recipe, data, finish):
    folder = data("a.h5", "b.h5")
    finish(recipe(), folder)
    os.utime(folder / "a.h5", (1, 1))
    state = (folder / "b.h5").stat()
    with (folder / "b.h5").open("ab") as file:
        file.write(b"more")
    os.utime(folder / "b.h5", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert plan(recipe(), folder).outdated == 2


@pytest.mark.parametrize("spoil", [b"", b"half of an output", None], ids=["empty", "cut", "record"])
def test_half_of_an_output_is_none(plan, recipe, data, finish, tmp_path, spoil):
    folder = data("a.h5")
    finish(recipe(), folder)
    output = tmp_path / "out" / "a.h5"
    if spoil is None:
        with h5py.File(output, "r+") as file:
            file["dataset"].attrs["score_gadget"] = "{}"
    else:
        output.write_bytes(spoil)
    found = plan(recipe(), folder)
    assert (names(found), found.finished) == (["a"], 0)
    assert found.tasks[0].reconstruct


def test_groups_of_images_are_finished_one_by_one(plan, recipe, data, finish):
    folder = data("a.h5")
    finish(recipe(), folder)
    assert names(plan(recipe(out_group="other"), folder)) == ["a"]
    finish(recipe(out_group="other"), folder)
    assert plan(recipe(out_group="other"), folder).finished == 1
    assert plan(recipe(), folder).finished == 1


def test_images_that_lack_a_format_are_only_exported(plan, recipe, data, finish, tmp_path):
    folder = data("one/a.h5")
    finish(recipe(), folder)
    png, nifti = (Export(kind, tmp_path / kind) for kind in ("png", "nifti"))
    (task,) = plan(recipe(exports=(png,)), folder).tasks
    assert not task.reconstruct
    write_record(task.output, "dataset", task.record)
    (task,) = plan(recipe(exports=(nifti,)), folder).tasks
    assert task.record.exports == {str(png), str(nifti)}
    assert names(plan(recipe(exports=(png,)), folder)) == ["one/a"], "its files are not there"
    (png.folder / "one").mkdir(parents=True)
    (png.folder / "one" / "a_series_0_image_001.png").touch()
    assert plan(recipe(exports=(png,)), folder).finished == 1
    assert plan(recipe(), folder).finished == 1


def test_a_folder_of_exports_is_the_same_from_everywhere(plan, recipe, data, finish, tmp_path):
    folder = data("a.h5")
    finish(recipe(exports=(Export("png", tmp_path / "here" / ".." / "png"),)), folder)
    (tmp_path / "png").mkdir()
    (tmp_path / "png" / "a_series_0_image_001.png").touch()
    (tmp_path / "there").mkdir()
    same = Export("png", tmp_path / "there" / ".." / "png")
    assert plan(recipe(exports=(same,)), folder).finished == 1


def test_the_weights_count(plan, recipe, data, monkeypatch, tmp_path):
    folder = data("a.h5")
    (tmp_path / "mine").mkdir()
    shutil.copy(ROOT / "models" / "brain-small" / "config.json", tmp_path / "mine")
    monkeypatch.setenv("SCORE_GADGET_MODELS", str(tmp_path))
    mine = dataclasses.replace(recipe(), pipeline=FAST.format("mine"))
    first = plan(mine, folder).tasks[0].record
    config = tmp_path / "mine" / "config.json"
    text = config.read_text()
    digest = first.recipe.models["mine"]
    config.write_text(text.replace(digest, digest[::-1]))
    assert not plan(mine, folder).tasks[0].record.matches(first)
    with pytest.raises(ConfigError, match="There is no model 'heart'"):
        plan(dataclasses.replace(recipe(), pipeline=FAST.format("heart")), folder)


def test_of_the_default_model_those_of_any_device_count(plan, recipe, data):
    usual = dataclasses.replace(recipe(), pipeline=FAST.format("auto"))
    (task,) = plan(usual, data("a.h5")).tasks
    assert set(task.record.recipe.models) == {"brain-small", "brain-base"}


def test_a_long_pipeline_is_told_by_its_checksum(plan, recipe, data, finish, tmp_path):
    folder = data("a.h5")
    text = recipe().pipeline.replace("</external>", f"<x>{'x' * 2**17}</x></external>")
    long = dataclasses.replace(recipe(), pipeline=text)
    finish(long, folder)
    assert plan(long, folder).finished == 1
    assert read_record(tmp_path / "out" / "a.h5", "dataset").recipe.pipeline.startswith("sha256")


def test_the_record_keeps_the_names_that_older_files_have(plan, recipe, data, finish, tmp_path):
    finish(recipe(), data("a.h5"))
    with h5py.File(tmp_path / "out" / "a.h5") as file:
        record = json.loads(file["dataset"].attrs["score_gadget"])
    assert set(record) == {"source", "making", "exports"}
    assert set(record["making"]) == {"version", "pipeline", "server", "models", "group"}

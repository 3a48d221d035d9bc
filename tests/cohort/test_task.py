"""One file of a cohort: raw data in, images out."""

from __future__ import annotations

import dataclasses
import fcntl

import h5py
import ismrmrd
import numpy as np
import pytest

from gadget.cohort import task as tasks
from gadget.cohort.exports import Export
from gadget.errors import DataError
from gadget.mrd.images.reader import read_images


@pytest.fixture
def no_node(monkeypatch):
    """Fails whoever starts a node."""

    def start(*arguments):
        raise AssertionError("nothing was to be reconstructed")

    monkeypatch.setattr(tasks, "run_pipeline", start)


def test_a_file_becomes_images_that_tell_what_they_are_of(plan, recipe, data, tmp_path):
    folder = data("one/a.h5")
    (task,) = plan(recipe(), folder).tasks
    task.output.parent.mkdir(parents=True)
    task.output.write_bytes(b"half of an output")
    seen = []
    outcome = tasks.run_task(task, recipe(), seen.append)
    assert (outcome.summary, outcome.images, outcome.failed) == ("2 images", 2, False)
    images = read_images(tmp_path / "out" / "one" / "a.h5", "dataset")
    assert [image.slice for image in images] == [0, 1]
    assert [path.name for path in (tmp_path / "out" / "one").iterdir()] == ["a.h5"]
    assert plan(recipe(), folder).finished == 1
    assert [(status.images, status.expected) for status in seen] == [(1, 2), (2, 2)]
    assert [status.fraction for status in seen] == pytest.approx([0.5, 1.0])


def test_an_error_is_an_outcome_and_leaves_nothing(run_task, recipe, data, tmp_path):
    folder = data("a.h5", "b.h5")
    (folder / "a.h5").write_text("not HDF5")
    (tmp_path / "out" / "b.h5").mkdir(parents=True)
    (tmp_path / "out" / "b.h5" / "content").touch()
    broken, blocked = run_task(recipe(), folder)
    assert broken.failed
    assert "not a readable HDF5 file" in broken.summary
    assert blocked.failed
    assert "cannot be written" in blocked.summary
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.h5"]


def test_images_before_an_error_are_kept_where_there_were_none(
    plan, run_task, recipe, data, monkeypatch, tmp_path
):
    run = tasks.run_pipeline

    def fail(pipeline, header, messages, take, *rest):
        taken = []

        def take_one(image):
            if not taken:
                taken.append(image)
                take(image)

        run(pipeline, header, messages, take_one, *rest)
        raise DataError("No usable readout came.")

    folder, output = data("a.h5"), tmp_path / "out" / "a.h5"
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "run_pipeline", fail)
        (outcome,) = run_task(recipe(), folder)
        assert outcome.failed
        assert [image.slice for image in read_images(output, "dataset")] == [0]
        assert plan(recipe(), folder).finished == 0
    (outcome,) = run_task(recipe(), folder)
    assert not outcome.failed
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "run_pipeline", fail)
        (outcome,) = run_task(recipe(in_group="dataset"), folder)
        assert outcome.failed
    assert [image.slice for image in read_images(output, "dataset")] == [0, 1]


def test_images_of_readouts_that_nobody_asked_for_are_missed(run_task, recipe, data, monkeypatch):
    def leave_early(pipeline, header, messages, take, *rest):
        for _ in range(9):  # the noise scan and a line of the first slice
            next(messages)
        take(ismrmrd.Image.from_array(np.ones((1, 1, 8, 8), np.float32), transpose=False))

    monkeypatch.setattr(tasks, "run_pipeline", leave_early)
    (outcome,) = run_task(recipe(), data("a.h5"))
    assert outcome.failed
    assert outcome.summary.startswith("Only 1 of 2 images came out of the pipeline")


def test_of_an_unexpected_error_the_first_line_is_told(run_task, recipe, data, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA error: misaligned address\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(tasks, "run_pipeline", fail)
    (outcome,) = run_task(recipe(), data("a.h5"))
    told = "RuntimeError: CUDA error: misaligned address. That is an error of score-gadget itself;"
    assert outcome.failed and outcome.summary.startswith(told)


def test_images_stay_when_a_format_cannot_hold_them(
    plan, run_task, recipe, data, tmp_path, monkeypatch
):
    def refuse(*_):
        raise DataError("no such picture")

    exporting = recipe(exports=(Export("png", tmp_path / "png"),))
    folder = data("a.h5")
    with monkeypatch.context() as patch:
        patch.setattr("gadget.mrd.export.png.PngWriter.write", refuse)
        (outcome,) = run_task(exporting, folder)
    assert outcome.failed
    assert "no such picture" in outcome.summary
    assert len(read_images(tmp_path / "out" / "a.h5")) == 2
    (task,) = plan(exporting, folder).tasks
    assert not task.reconstruct
    (outcome,) = run_task(exporting, folder)
    assert (outcome.summary, outcome.failed) == ("exported", False)


def test_another_version_is_refused(plan, recipe, data):
    (task,) = plan(recipe(), data("a.h5")).tasks
    fingerprint = task.record.recipe.model_copy(update={"version": "0.0.0"})
    old = dataclasses.replace(task, record=task.record.model_copy(update={"recipe": fingerprint}))
    outcome = tasks.run_task(old, recipe(), print)
    assert outcome.failed
    assert "Version 0.0.0 of score-gadget has sent the file" in outcome.summary
    assert not task.output.exists()


def test_other_groups_stay_and_formats_are_added(plan, run_task, recipe, data, tmp_path, request):
    folder = data("one/a.h5")
    output = tmp_path / "out" / "one" / "a.h5"
    output.parent.mkdir(parents=True)
    with h5py.File(output, "w") as file:
        file["other/mine"] = 1
        file["dataset/old"] = 2
    run_task(recipe(), folder)
    with h5py.File(output) as file:
        assert set(file) == {"dataset", "other"}
        assert set(file["dataset"]) == {"image_0", "xml"}
    request.getfixturevalue("no_node")
    exports = tuple(Export(kind, tmp_path / kind) for kind in ("png", "nifti", "dicom"))
    (outcome,) = run_task(recipe(exports=exports), folder)
    assert (outcome.summary, outcome.failed) == ("exported", False)
    for name in ("png/one/a_series_0_image_002.png", "nifti/one/a_series_0.nii.gz"):
        assert (tmp_path / name).is_file()
    assert len(list((tmp_path / "dicom" / "one" / "a_series_0").iterdir())) == 2
    with h5py.File(output) as file:
        assert file["other/mine"][()] == 1
        with h5py.File(folder / "one" / "a.h5") as raw:
            assert file["dataset/xml"][0] == raw["dataset/xml"][0]
    assert plan(recipe(), folder).finished == 1


def test_an_output_that_another_program_writes_is_not_replaced(run_task, recipe, data, tmp_path):
    folder, output = data("a.h5"), tmp_path / "out" / "a.h5"
    output.parent.mkdir()
    with h5py.File(output, "w") as file:
        file["other/mine"] = 1
    with output.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as the HDF5 library does
        (outcome,) = run_task(recipe(), folder)
    assert outcome.failed
    assert "is locked by another program" in outcome.summary
    with h5py.File(output) as file:
        assert list(file) == ["other"]


def test_a_server_does_the_work(run_task, recipe, data, monkeypatch, tmp_path):
    def serve(server, pipeline, header, messages, on_image):
        assert (server, pipeline) == ("localhost:9002", "grappa.xml")
        assert b"ismrmrdHeader" in header
        list(messages)
        for number in range(2):
            pixels = np.full((1, 1, 2, 2), number, np.float32)
            on_image(ismrmrd.Image.from_array(pixels, transpose=False))

    monkeypatch.setattr(tasks, "run_on_server", serve)
    remote = dataclasses.replace(recipe(), pipeline="grappa.xml", server="localhost:9002")
    (outcome,) = run_task(remote, data("a.h5"))
    assert outcome.summary == "2 images"
    assert read_images(tmp_path / "out" / "a.h5")[1].data.max() == 1

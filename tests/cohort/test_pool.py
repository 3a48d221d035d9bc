"""Tasks in processes on this machine."""

from __future__ import annotations

import logging
import os

import ismrmrd

from gadget.cohort.events import Logged, Outcome, Started, Status
from gadget.cohort.pool import run_locally
from gadget.cohort.recipe import Recipe
from gadget.mrd.images.reader import read_images


def outcomes(events) -> dict[str, Outcome]:
    return {task.name: event for task, event in events if isinstance(event, Outcome)}


def test_jobs_share_devices_and_processors(plan, recipe, data, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    monkeypatch.delenv("OMP_NUM_THREADS")
    tasks = plan(recipe(), data("a.h5", "b.h5")).tasks
    events = list(run_locally(tasks, recipe(), 8))
    assert not any(outcome.failed for outcome in outcomes(events).values())
    metas = [
        ismrmrd.Meta.deserialize(read_images(tmp_path / "out" / name)[0].attribute_string)
        for name in ("a.h5", "b.h5")
    ]
    assert [meta["CUDA_VISIBLE_DEVICES"] for meta in metas] == ["3", "GPU-5"]
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    assert [meta["OMP_NUM_THREADS"] for meta in metas] == [str(threads)] * 2
    first = [event for task, event in events if task.name == "a"]
    assert [type(event) for event in first if not isinstance(event, Logged)] == [
        Started,
        Status,
        Status,
        Outcome,
    ]
    assert [event for event in first if isinstance(event, Logged)] == [
        Logged(logging.WARNING, "gadget.node.pictures", f"slice {number} is made")
        for number in (0, 1)
    ]


def test_scripts_beside_the_data_do_not_stand_for_libraries(plan, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data("a.h5"))
    for name in ("random", "socket", "numpy"):
        (tmp_path / "data" / f"{name}.py").write_text("raise SystemExit")
    own = Recipe(
        "<configuration><version>2</version><stream><external>"
        '<execute name="gadget.nodes.reconstruct" target="reconstruct" type="python"/>'
        '<configuration><property name="method" value="fft"/></configuration>'
        "</external></stream></configuration>"
    )
    (outcome,) = outcomes(run_locally(plan(own, tmp_path / "data").tasks, own, 1)).values()
    assert outcome.summary == "2 images"


def test_a_crash_costs_its_file_only(plan, recipe, data, tmp_path):
    kills = recipe("kills")
    tasks = plan(kills, data("a.h5")).tasks
    (outcome,) = outcomes(run_locally(tasks, kills, 1)).values()
    assert outcome.failed
    assert outcome.summary.startswith("Its process was ended by SIGSEGV")
    assert list((tmp_path / "out").glob("*.h5")) == []

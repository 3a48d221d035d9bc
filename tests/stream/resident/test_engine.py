"""Models are loaded once, kept within bounds, and only those that are installed."""

from __future__ import annotations

import shutil
import threading

import pytest
import torch

import gadget.stream.resident.engine
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError, WeightsError
from gadget.stream.resident.engine import Engine


@pytest.fixture
def loads(monkeypatch) -> list[tuple[str, int]]:
    """Names of the models that were read from disk, each with the thread that did it."""
    loads: list[tuple[str, int]] = []
    load = gadget.stream.resident.engine.load_prior

    def note(name, device):
        loads.append((name, threading.get_ident()))
        return load(name, device)

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", note)
    return loads


@pytest.fixture
def engine(models, loads):
    engine = Engine("tiny", "cpu")
    yield engine
    engine.close()


def names(loads: list[tuple[str, int]]) -> list[str]:
    return [name for name, _ in loads]


def test_the_own_model_is_loaded_at_once_and_only_once(engine, loads):
    for _ in range(2):
        reconstructor, _ = engine.provide(SamplerSettings(model="tiny"))
        assert reconstructor.prior is engine.prior
    assert names(loads) == ["tiny"]


def test_another_model_is_loaded_when_it_is_needed(engine, loads):
    reconstructor, worker = engine.provide(SamplerSettings(model="other"))
    assert names(loads) == ["tiny"]
    assert worker.submit(None, lambda: reconstructor.prior).result().name == "other"
    (_, first), (_, second) = loads
    assert first == second == worker.submit(None, threading.get_ident).result()


def test_a_model_that_could_not_be_loaded_is_tried_again(engine, monkeypatch):
    def fail(model, device):
        raise WeightsError("The file cannot be read now.")

    reconstructor, _ = engine.provide(SamplerSettings(model="other"))
    with monkeypatch.context() as patch:
        patch.setattr(gadget.stream.resident.engine, "load_prior", fail)
        with pytest.raises(WeightsError, match="now"):
            reconstructor.prepare()
    assert reconstructor.prior.name == "other"


def test_an_engine_without_a_model_leaves_no_thread(models):
    before = threading.active_count()
    with pytest.raises(ConfigError, match="no model 'nothing'"):
        Engine("nothing", "cpu")
    assert threading.active_count() == before


def test_a_model_given_by_its_folder_is_reached_by_its_name(models, loads):
    engine = Engine(str(models / "tiny"), "cpu")
    for name in ("tiny", str(models / "tiny")):
        assert engine.provide(SamplerSettings(model=name))[0].prior is engine.prior
    assert len(loads) == 1
    engine.close()


def test_the_model_auto_is_the_own_one_on_any_device(engine, loads):
    for device in ("auto", "cpu"):
        settings = SamplerSettings(model="auto", device=device)
        assert engine.provide(settings)[0].prior is engine.prior
    assert names(loads) == ["tiny"]


def test_another_model_is_loaded_once_and_kept(engine, loads):
    priors = [engine.provide(SamplerSettings(model="other"))[0].prior for _ in range(3)]
    assert names(loads) == ["tiny", "other"]
    assert priors[0] is priors[1] is priors[2] is not engine.prior


def test_few_other_models_are_kept_the_latest(models, loads, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        shutil.copytree(models / "other", tmp_path / name)
    monkeypatch.setenv("SCORE_GADGET_MODELS", f"{models}:{tmp_path}")
    monkeypatch.setattr(gadget.stream.resident.engine, "CACHED_MODELS", 2)
    engine = Engine("tiny", "cpu")
    for name in ("a", "b", "a", "c", "a", "b", "tiny"):
        engine.provide(SamplerSettings(model=name))[0].prepare()
    assert names(loads) == ["tiny", "a", "b", "c", "b"]
    engine.close()


def test_what_waits_is_told_while_a_model_is_loaded(engine, monkeypatch):
    loading, told = threading.Event(), threading.Event()
    load = gadget.stream.resident.engine.load_prior

    def load_slowly(name, device):
        loading.set()
        assert told.wait(10)
        return load(name, device)

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", load_slowly)
    other, _ = engine.provide(SamplerSettings(model="other"))
    thread = threading.Thread(target=other.prepare)
    thread.start()
    loading.wait(10)
    assert engine.waiting == 0
    assert engine.provide(SamplerSettings(model="tiny"))[0].prior is engine.prior
    told.set()
    thread.join(10)


def test_no_other_folder_can_be_read(engine, models):
    for name in (str(models / "other"), f"../{models.name}/other", ".", "nothing"):
        with pytest.raises(ConfigError, match=r"has no model .* name one of .*other, .*tiny"):
            engine.provide(SamplerSettings(model=name))


def test_a_device_has_one_worker_under_all_its_names(engine):
    settings = [SamplerSettings(device=name) for name in ("auto", "cpu", "cpu:0", "cpu:7")]
    provided = [engine.provide(one.model_copy(update={"model": "tiny"})) for one in settings]
    assert len({id(worker) for _, worker in provided}) == 1
    assert {reconstructor.device for reconstructor, _ in provided} == {torch.device("cpu")}


def test_a_device_that_is_not_there_is_an_error(engine):
    with pytest.raises(ConfigError, match="cuda:77"):
        engine.provide(SamplerSettings(model="tiny", device="cuda:77"))

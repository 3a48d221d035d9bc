"""Models are loaded once, kept within bounds, and only those that are installed."""

from __future__ import annotations

import shutil
import threading

import pytest
import torch

import gadget.stream.resident.engine
from gadget.diffusion.settings import SamplerSettings
from gadget.errors import ConfigError
from gadget.stream.resident.engine import Engine


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    """Names of the models that were read from disk."""
    names: list[str] = []
    load = gadget.stream.resident.engine.load_prior

    def note(name, device):
        names.append(name)
        return load(name, device)

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", note)
    return names


@pytest.fixture
def engine(models, loaded):
    engine = Engine("tiny", "cpu")
    yield engine
    engine.close()


def test_the_own_model_is_loaded_at_once_and_only_once(engine, loaded):
    for _ in range(2):
        reconstructor, _ = engine.provide(SamplerSettings(model="tiny"))
        assert reconstructor.prior is engine.prior
    assert loaded == ["tiny"]


def test_the_own_model_is_loaded_by_the_thread_that_computes_with_it(models, monkeypatch):
    threads = []
    load = gadget.stream.resident.engine.load_prior

    def note(name, device):
        threads.append(threading.get_ident())
        return load(name, device)

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", note)
    engine = Engine("tiny", "cpu")
    _, worker = engine.provide(SamplerSettings(model="tiny"))
    assert threads == [worker.submit(None, threading.get_ident).result()]
    engine.close()


def test_a_model_given_by_its_folder_is_reached_by_its_name(models, loaded):
    engine = Engine(str(models / "tiny"), "cpu")
    for name in ("tiny", str(models / "tiny")):
        assert engine.provide(SamplerSettings(model=name))[0].prior is engine.prior
    assert len(loaded) == 1
    engine.close()


def test_the_model_auto_is_the_own_one_on_any_device(engine, loaded):
    for device in ("auto", "cpu"):
        settings = SamplerSettings(model="auto", device=device)
        assert engine.provide(settings)[0].prior is engine.prior
    assert loaded == ["tiny"]


def test_another_model_is_loaded_once_and_kept(engine, loaded):
    priors = [engine.provide(SamplerSettings(model="other"))[0].prior for _ in range(3)]
    assert loaded == ["tiny", "other"]
    assert priors[0] is priors[1] is priors[2] is not engine.prior


def test_few_other_models_are_kept_the_latest(models, loaded, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        shutil.copytree(models / "other", tmp_path / name)
    monkeypatch.setenv("SCORE_GADGET_MODELS", f"{models}:{tmp_path}")
    monkeypatch.setattr(gadget.stream.resident.engine, "CACHED_MODELS", 2)
    engine = Engine("tiny", "cpu")
    for name in ("a", "b", "a", "c", "a", "b", "tiny"):
        engine.provide(SamplerSettings(model=name))
    assert loaded == ["tiny", "a", "b", "c", "b"]
    engine.close()


def test_what_waits_is_told_while_a_model_is_loaded(engine, monkeypatch):
    loading, told = threading.Event(), threading.Event()
    load = gadget.stream.resident.engine.load_prior

    def load_slowly(name, device):
        loading.set()
        assert told.wait(10)
        return load(name, device)

    monkeypatch.setattr(gadget.stream.resident.engine, "load_prior", load_slowly)
    thread = threading.Thread(target=engine.provide, args=(SamplerSettings(model="other"),))
    thread.start()
    loading.wait(10)
    assert engine.waiting == 0
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


def test_what_is_not_there_is_an_error(engine, models):
    with pytest.raises(ConfigError, match="cuda:77"):
        engine.provide(SamplerSettings(model="tiny", device="cuda:77"))
    with pytest.raises(ConfigError, match="no model 'nothing'"):
        Engine("nothing", "cpu")

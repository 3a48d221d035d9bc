from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from gadget.diffusion import AUTO_MODELS, DEFAULT_MODEL, installed_models, model_loading
from gadget.diffusion.installed_models import CONFIG, available_models, find_model
from gadget.diffusion.model_folder import WEIGHTS, read_config
from gadget.diffusion.model_loading import load_prior, model_for
from gadget.errors import ConfigError

CPU = torch.device("cpu")


def test_models_are_found_by_name_and_by_path(model, monkeypatch):
    assert find_model(str(model)) == model
    with pytest.raises(ConfigError):
        find_model("tiny")
    monkeypatch.setenv("SCORE_GADGET_MODELS", f"/nowhere:{model.parent}")
    assert find_model("tiny") == model
    assert model in list(available_models())
    (model.parent / "none" / CONFIG).mkdir(parents=True)
    assert "none" not in [folder.name for folder in available_models()]


def test_the_first_folder_of_the_search_path_wins(model, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    model.rename(other / "tiny")
    (model.parent / "tiny").mkdir()
    (model / CONFIG).write_text((other / "tiny" / CONFIG).read_text())
    monkeypatch.setattr(installed_models, "search_path", lambda: [other, model.parent])
    assert find_model("tiny") == other / "tiny"
    assert list(available_models()) == [other / "tiny"]


def test_an_unknown_name_tells_the_known_ones(model, monkeypatch):
    monkeypatch.setattr(installed_models, "search_path", lambda: [model.parent])
    with pytest.raises(ConfigError, match=r"no model 'tinny' \(found: tiny\)\. Give one of these"):
        load_prior("tinny", CPU)
    monkeypatch.setattr(installed_models, "search_path", lambda: [])
    with pytest.raises(ConfigError, match=r"\(found: none\)"):
        load_prior("tinny", CPU)


def test_a_path_is_never_taken_for_a_name(model, monkeypatch):
    monkeypatch.chdir(model.parent)
    folder = Path("brain-small")
    shutil.copytree(model, folder)
    assert find_model("./brain-small") == folder
    assert find_model("brain-small") != folder


@pytest.mark.parametrize("name", AUTO_MODELS)
def test_the_default_models_come_with_the_package(name):
    folder = find_model(name)
    config = read_config(folder)
    assert config.sha256 == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    assert config.name == name


@pytest.mark.parametrize("fast", [True, False])
def test_the_default_model_suits_the_device(fast, monkeypatch):
    monkeypatch.setattr(model_loading, "supports_bfloat16", lambda device: fast)
    assert model_for(DEFAULT_MODEL, CPU) == ("brain-base" if fast else "brain-small")
    assert model_for(DEFAULT_MODEL, torch.device("cuda")) == "brain-base"
    assert model_for("other", CPU) == "other"
    assert load_prior(DEFAULT_MODEL, CPU).name == model_for(DEFAULT_MODEL, CPU)

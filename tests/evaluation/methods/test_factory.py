from __future__ import annotations

import pytest

from gadget.errors import ConfigError
from gadget.evaluation.methods.factory import MethodFactory, default_methods


@pytest.fixture
def factory():
    return MethodFactory("brain-small", "cpu", samples=2, seed=0)


def test_methods_by_name(factory):
    found = factory.methods(["zero-filled", "sense", "fast", "fast:12", "paper:20", "ssos:20"])
    assert [method.name for method in found] == [
        "zero-filled", "sense", "fast", "fast:12", "paper:20", "ssos:20",
    ]  # fmt: skip
    assert [method.label for method in found][2:5] == [
        "score-gadget", "score-gadget, N = 12", "hybrid (Chung and Ye), N = 20",
    ]  # fmt: skip
    assert factory.prior is not None
    assert factory.prior.name == "brain-small"


def test_conventional_methods_load_no_prior():
    factory = MethodFactory("no such model", "cpu", samples=1, seed=0)
    factory.methods(["zero-filled", "sense"])
    assert factory.prior is None
    with pytest.raises(ConfigError, match="There is no model 'no such model'"):
        factory.methods(["fast"])


def test_a_name_for_several_methods_and_each_only_once(factory):
    pytest.importorskip("sigpy")
    found = factory.methods(["sigpy-tv", "sigpy", "sigpy-tv"])
    assert [method.name for method in found] == ["sigpy-tv", "sigpy-sense", "sigpy-l1wavelet"]


@pytest.mark.parametrize("text", ["grappa", "", "sense:5", "sigpy:0.1"])
def test_names_that_there_are_not(factory, text):
    with pytest.raises(ConfigError, match=f"'{text}' is no method; expected one of zero-filled,"):
        factory.methods([text])


@pytest.mark.parametrize("text", ["fast:none", "paper:0"])
def test_steps_that_cannot_be(factory, text):
    with pytest.raises(ConfigError, match="the number of steps must be between 1 and 10000"):
        factory.methods([text])


def test_the_default_is_what_can_run_here(monkeypatch):
    monkeypatch.setenv("PATH", "")
    names = default_methods()
    assert names[:2] == ["zero-filled", "sense"]
    assert names[-1] == "fast"
    assert "bart" not in names

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import gadget
from gadget.cli import installation
from gadget.diffusion import DEFAULT_MODEL
from gadget.diffusion.devices import select_device
from gadget.diffusion.installed_models import find_model
from gadget.diffusion.model_loading import model_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gadgetron(tmp_path, monkeypatch):
    """A Gadgetron on the PATH, reached by a link as installers make them; returns its home."""
    home = tmp_path / "conda"
    binary = home / "bin" / "gadgetron"
    for folder in (binary.parent, home / "share" / "gadgetron" / "config", tmp_path / "bin"):
        folder.mkdir(parents=True)
    binary.write_text("")
    binary.chmod(0o755)
    (tmp_path / "bin" / "gadgetron").symlink_to(binary)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("GADGETRON_HOME", raising=False)
    return home


@pytest.fixture
def python(tmp_path):
    """Writes the Python that Gadgetron would start."""

    def write(*lines: str) -> None:
        file = tmp_path / "bin" / "python"
        file.write_text("\n".join(["#!/bin/sh", *lines]))
        file.chmod(0o755)

    return write


def advice() -> list[str]:
    return [finding.advice for finding in installation.server() if finding.advice]


def test_a_working_installation(run):
    done = run("doctor")
    assert done.returncode == 0, done.stderr
    assert f"brain-small is whole, {find_model('brain-small')}" in done.stdout
    assert "python -m gadgetron works" in done.stdout
    assert "A raw dataset can be reconstructed here" in done.stdout


def test_damaged_weights_of_the_default_model(run, tmp_path, monkeypatch):
    name = model_for(DEFAULT_MODEL, select_device("auto"))
    damaged = tmp_path / name
    shutil.copytree(find_model(name), damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    monkeypatch.setenv("SCORE_GADGET_MODELS", str(tmp_path))
    done = run("doctor")
    assert done.returncode == 1
    assert f"{name} is damaged, {damaged}" in done.stdout
    assert "install the model again" in done.stderr
    assert "can be reconstructed" not in done.stdout


def test_a_broken_package_is_told_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = {finding.name: finding for finding in installation.findings()}
    assert "A package cannot be imported" in found["devices"].problem
    assert "A package cannot be imported" in found["models"].problem
    assert found["pipeline"].problem is None


def test_nodes_that_do_not_start(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    (problem,) = [finding.problem for finding in installation.nodes() if finding.problem]
    assert "-m gadgetron' fails (exit status 1)" in problem


def test_a_gadgetron_that_finds_everything(gadgetron, python):
    python(f'exec {sys.executable} "$@"')
    for pipeline in (ROOT / "pipelines").glob("*.xml"):
        shutil.copy(pipeline, gadgetron / "share" / "gadgetron" / "config")
    assert advice() == []


def test_pipelines_that_are_missing_are_told_once_and_the_rest_goes_on(
    gadgetron, python, tmp_path, monkeypatch
):
    python(f'exec {sys.executable} "$@"')
    monkeypatch.setattr(gadget, "__file__", str(tmp_path / "gadget" / "__init__.py"))
    found = list(installation.findings())
    (problem,) = [finding.problem for finding in found if finding.problem]
    assert "There is no pipeline file score_hybrid.xml" in problem
    assert found[-1].name == "bart"


def test_a_gadgetron_of_another_environment(gadgetron, python):
    python("echo \"No module named 'gadget'\" >&2", "exit 1")
    pipelines, module = advice()
    assert str(gadgetron) in pipelines
    assert "No module named 'gadget'" in module


def test_nodes_in_the_folder_that_gadgetron_appends(gadgetron, python):
    folder = gadgetron / "share" / "gadgetron" / "python"
    python(f"case $PYTHONPATH in *{folder}) exit 0;; esac", "exit 1")
    assert not any("Python that Gadgetron starts" in one for one in advice())


def test_without_a_gadgetron(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = installation.server()
    assert "embedded host" in finding.text

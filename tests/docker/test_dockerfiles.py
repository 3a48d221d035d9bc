"""What a container build would find out, without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import COMMAND
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import gadget

ROOT = Path(__file__).resolve().parents[2]
FILES = ("docker/Dockerfile", "docker/openrecon/Dockerfile")
CONSTRAINTS = (ROOT / "docker" / "constraints.txt").read_text()


@pytest.mark.parametrize("name", FILES)
def test_the_base_image_is_pinned(dockerfile, name):
    base = [one.text for one in dockerfile(name) if one.name == "FROM"]
    (image,) = base
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+(-[\w.-]+)?", image)
    if image.startswith("score-gadget:"):
        assert image == f"score-gadget:{gadget.__version__}"


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_is_let_through(dockerfile, name):
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    for one in dockerfile(name):
        if one.name == "COPY":
            *sources, _ = one.words
            for source in sources:
                assert (ROOT / source).exists(), source
                assert source in let_through


def test_nothing_else_is_let_through(dockerfile):
    copied = {
        source
        for name in FILES
        for one in dockerfile(name)
        if one.name == "COPY"
        for source in one.words[:-1]
    }
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_every_dependency_is_pinned_to_an_allowed_version():
    pins = {
        pin.name.lower(): next(iter(pin.specifier)).version
        for line in CONSTRAINTS.splitlines()
        if not line.startswith("#") and (pin := Requirement(line))
    }
    assert all("==" in line for line in CONSTRAINTS.splitlines() if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    for requirement in map(Requirement, needed):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            assert requirement.specifier.contains(pins[requirement.name.lower()])


def test_packages_are_installed_under_the_constraints(dockerfile):
    pip = [one.words for one in dockerfile(FILES[0]) if one.text.startswith("pip ")]
    assert len(pip) == 2
    for words in pip:
        assert words[words.index("-c") + 1] == "docker/constraints.txt"
    assert "--no-build-isolation" in pip[-1]


def test_the_server_is_not_root(dockerfile):
    instructions = dockerfile(FILES[0])
    users = [number for number, one in enumerate(instructions) if one.name == "USER"]
    assert instructions[users[-1]].text not in ("root", "0")
    runs = [number for number, one in enumerate(instructions) if one.name in ("RUN", "COPY")]
    assert max(runs) < users[-1]
    assert not any(one.name == "USER" for one in dockerfile(FILES[1]))


@pytest.mark.parametrize("name", FILES)
def test_what_the_container_starts_is_a_command(dockerfile, name):
    base = [one for one in dockerfile(FILES[0]) if one.name == "ENTRYPOINT"]
    assert base[0].words == ["score-gadget"]
    checked = [one.words for one in dockerfile(name) if one.name == "CMD"]
    checked += [
        one.words[1:]
        for one in dockerfile(name)
        if one.name == "HEALTHCHECK" and one.text != "NONE"
    ]
    for words in checked:
        done = subprocess.run([*COMMAND, *words, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", FILES)
def test_the_port_that_is_told_is_listened_on(dockerfile, name):
    instructions = dockerfile(name)
    (port,) = [one.text for one in instructions if one.name == "EXPOSE"]
    (command,) = [one.words for one in instructions if one.name == "CMD"]
    assert any(word == port or word.endswith(f":{port}") for word in command)

"""What the README and the documents beside it promise."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import gadget
from gadget.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CARDS = ("models/brain-small/README.md", "models/brain-base/README.md")
DOCUMENTS = ("README.md", "SECURITY.md", "pipelines/README.md", "docker/README.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    document = ROOT / name
    links = re.findall(r"\]\(([\w/.-]+)\)", document.read_text())
    assert links
    for link in links:
        assert (document.parent / link).exists(), link


def test_its_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "CONTRIBUTING.md", *CARDS])
def test_the_commands_know_their_options(name):
    text = (ROOT / name).read_text()
    lines = re.findall(r"(?:^|`)(score-gadget [a-z][^`#\n]*)", text, re.M)
    assert lines
    for line in lines:
        command = typer.main.get_command(app)
        known = {"--help"}
        for word in shlex.split(line)[1:]:
            if word in getattr(command, "commands", ()):
                command = command.commands[word]
                known |= {option for one in command.params for option in one.opts}
            elif word.startswith("-"):
                assert word.partition("=")[0] in known, f"{name}: {line}: {word}"


def test_it_is_short():
    assert len(README.split()) <= 1600


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {gadget.__version__}\n" in citation

"""What the README and the documents beside it promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gadget

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
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


def test_it_is_short():
    assert len(README.splitlines()) <= 150


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {gadget.__version__}\n" in citation

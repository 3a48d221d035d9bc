"""What the README promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gadget.nodes.settings import ReconstructSettings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ReconstructSettings.model_fields)
def test_every_setting_is_listed_as_it_is(name):
    field = ReconstructSettings.model_fields[name]
    default = "none" if field.default is None else f"`{field.default}`"
    assert f"| `{name}` | {default} | {field.description} |" in README


def test_nothing_is_listed_that_is_not_there():
    table = README[README.index("| property |") :].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.M) == list(ReconstructSettings.model_fields)


def test_its_links_and_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M)
    for link in re.findall(r"\]\(([\w/.-]+)\)", README):
        if link.startswith("docs/"):
            continue
        assert (ROOT / link).exists(), link


def test_it_is_short():
    assert len(README.splitlines()) <= 150

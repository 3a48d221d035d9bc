from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of its JSON form, or of its shell form."""
        start = self.text.find("[")
        return json.loads(self.text[start:]) if start >= 0 else shlex.split(self.text)


@pytest.fixture(scope="session")
def dockerfile():
    """Reads a Dockerfile of the repository."""

    def read(name: str) -> list[Instruction]:
        lines = (ROOT / name).read_text().splitlines()
        text = "\n".join(line for line in lines if not line.startswith("#"))
        joined = text.replace("\\\n", " ")
        rows = [line.partition(" ") for line in joined.splitlines() if line.strip()]
        return [Instruction(name, rest.strip()) for name, _, rest in rows]

    return read

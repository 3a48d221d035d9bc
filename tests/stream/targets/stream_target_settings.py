"""Settings of the targets."""

from __future__ import annotations

from pydantic import Field

from gadget.stream.settings import NodeSettings


class TestSettings(NodeSettings):
    steps: int = Field(30, ge=1)
    pid_file: str = ""

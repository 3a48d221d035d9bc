from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import COMMAND

from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan

TARGETS = Path(__file__).parent / "targets"


@pytest.fixture
def start(node_path, tmp_path: Path):
    """Starts `score-gadget` and returns the process."""
    node_path(TARGETS)
    started: list[subprocess.Popen[str]] = []

    def command(*arguments: object, **options: object) -> subprocess.Popen[str]:
        words = [*COMMAND, *map(str, arguments)]
        started.append(
            subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, **options)
        )
        return started[-1]

    yield command
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Raw data of three slices."""
    path = tmp_path / "raw.h5"
    write_simulation(path, SimulatedScan(matrix=32, coils=2, slices=3, acceleration=1))
    return path


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a pipeline of one of the targets."""

    def write(target: str) -> Path:
        path = tmp_path / "pipeline.xml"
        path.write_text(
            "<configuration><version>2</version><stream><external><execute type='python' "
            f"name='failure_targets' target='{target}'/><configuration/></external></stream>"
            "</configuration>"
        )
        return path

    return write

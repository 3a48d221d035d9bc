from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command import COMMAND

from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan

TARGETS = Path(__file__).parent / "targets"
SCAN = SimulatedScan(matrix=32, coils=3, slices=2, acceleration=2, noise=0.02)


@pytest.fixture
def run(node_path, tmp_path: Path):
    """Runs `score-gadget` as a user does, in a folder of its own."""
    node_path(TARGETS)

    def command(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )

    return command


@pytest.fixture
def start(node_path, tmp_path: Path):
    """Starts `score-gadget` and returns the process."""
    node_path(TARGETS)
    started: list[subprocess.Popen[str]] = []

    def command(*arguments: object, **options) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
                **options,
            )
        )
        return started[-1]

    yield command
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    write_simulation(path, SCAN)
    return path


@pytest.fixture
def raw(pristine: Path, tmp_path: Path) -> Path:
    """A small raw dataset of two slices, free to be spoilt."""
    path = tmp_path / "raw.h5"
    path.write_bytes(pristine.read_bytes())
    return path


@pytest.fixture
def pipeline(tmp_path: Path):
    """Writes a pipeline of nodes, each with the properties it gets."""

    def write(*nodes: str | tuple[str, str]) -> Path:
        text = ""
        for node in nodes:
            name, properties = (node, "") if isinstance(node, str) else node
            module = (
                f"gadget.nodes.{name}"
                if name in ("prewhiten", "gather", "reconstruct", "finish")
                else "cli_targets"
            )
            text += (
                f'<external><execute name="{module}" target="{name}" type="python"/>'
                f"<configuration>{properties}</configuration></external>"
            )
        path = tmp_path / "pipeline.xml"
        path.write_text(
            f"<configuration><version>2</version><stream>{text}</stream></configuration>"
        )
        return path

    return write

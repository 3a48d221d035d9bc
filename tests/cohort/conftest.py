from __future__ import annotations

from pathlib import Path

import pytest

from gadget.cohort.plan import make_plan
from gadget.cohort.recipe import Recipe
from gadget.mrd.simulation.simulate import write_simulation
from gadget.mrd.simulation.simulated_scan import SimulatedScan

TARGETS = Path(__file__).parent / "targets"
SCAN = SimulatedScan(matrix=32, coils=1, slices=2, acceleration=4)


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small raw dataset of two slices."""
    path = tmp_path_factory.mktemp("raw") / "raw.h5"
    write_simulation(path, SCAN)
    return path.read_bytes()


@pytest.fixture
def data(scan: bytes, tmp_path: Path):
    """Writes raw data to files below `data`."""

    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(scan)
        return tmp_path / "data"

    return write


@pytest.fixture
def recipe(node_path):
    """Makes a recipe with one of the nodes in `targets/`."""
    node_path(TARGETS)

    def make(node: str = "pictures", **options) -> Recipe:
        return Recipe(
            "<configuration><version>2</version><stream><external>"
            f'<execute name="cohort_targets" target="{node}" type="python"/><configuration/>'
            "</external></stream></configuration>",
            **options,
        )

    return make


@pytest.fixture
def plan(tmp_path: Path):
    """Plans the reconstruction of raw data to the folder `out`."""

    def make(recipe: Recipe, *arguments: Path):
        return make_plan(arguments, tmp_path / "out", recipe)

    return make


@pytest.fixture
def run_task(plan):
    """Carries out in this process what is to be done; returns the outcomes."""
    from gadget.cohort.task import run_task

    def run(recipe: Recipe, *arguments: Path):
        tasks = plan(recipe, *arguments).tasks
        return [run_task(task, recipe, lambda status: None) for task in tasks]

    return run

"""The rooms of the house: who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "gadget"
FLOOR = {
    "mri": 0,
    "diffusion": 1,
    "stream": 2,
    "mrd": 2,
    "training": 2,
    "evaluation": 2,
    "nodes": 3,
    "cohort": 4,
    "cli": 5,
}
MRD_FLOOR = {
    "xml_header": 0,
    "readouts": 1,
    "buffers": 2,
    "raw": 2,
    "images": 3,
    "export": 4,
    "inspection": 5,
    "simulation": 4,
}
ENTRANCES = {"nodes", "cli"}
"""Rooms that a pipeline or a person comes in by, and no other room."""
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "gadget" and len(parts) > 1 and parts[1] in FLOOR else None


def folder_of_mrd(module: str) -> str | None:
    parts = module.split(".")
    return parts[2] if parts[:2] == ["gadget", "mrd"] and parts[2:3] != ["hdf5"] else None


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_room_has_a_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_arrows_go_down_only(path):
    here = room(name_of(path))
    if here is None:
        return
    for module in imports(path):
        there = room(module)
        if there is not None and there != here:
            assert FLOOR[there] <= FLOOR[here], f"{name_of(path)} must not import {module}"
            assert there not in ENTRANCES, f"{name_of(path)} must not import {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "mrd").rglob("*/*.py")), ids=name_of)
def test_arrows_go_down_in_mrd_too(path):
    here = folder_of_mrd(name_of(path))
    for module in imports(path):
        if module.startswith("gadget.mrd.") and (there := folder_of_mrd(module)) != here:
            assert there is None or MRD_FLOOR[there] < MRD_FLOOR[here], (
                f"{name_of(path)} must not import {module}"
            )


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room(name_of(p)) in ("mri", "diffusion")], ids=name_of
)
def test_physics_and_diffusion_know_no_transport(path):
    roots = {module.partition(".")[0] for module in imports(path)}
    assert not roots & {"ismrmrd", "gadgetron", "h5py"}


@pytest.mark.parametrize("name", ["prewhiten", "gather", "reconstruct", "finish"])
def test_a_node_is_imported_without_anything_heavy(name):
    program = (
        f"import sys; import gadget.nodes.{name}; "
        "print(*{'torch', 'numpy', 'ismrmrd', 'h5py', 'pydantic', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "name",
    [
        "replay",
        "inspect",
        "convert",
        "evaluate",
        "node",
        "doctor",
        "serve",
        "simulate",
        "compare",
        "train",
        "model",
    ],
)
def test_a_command_explains_itself_without_torch(name):
    program = (
        "import sys; from gadget.cli.main import app\n"
        f"try: app(['{name}', '--help'])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules, 'h5py' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False False"

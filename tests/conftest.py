from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = "ismrmrd_generate_cartesian_shepp_logan"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the test data that are too big to be part of the project."""
    folder = os.environ.get("SCORE_GADGET_TEST_DATA")
    if not folder:
        pytest.skip("SCORE_GADGET_TEST_DATA does not name the folder of the test data")
    return Path(folder).resolve()


@pytest.fixture
def shepp_logan(tmp_path: Path):
    """Writes raw data with ismrmrd's own generator."""
    if not shutil.which(GENERATOR):
        pytest.skip(f"{GENERATOR} (Debian package ismrmrd-tools) is not installed")

    def generate(*options: str, name: str = "phantom.h5") -> Path:
        path = tmp_path / name
        subprocess.run([GENERATOR, "-o", str(path), *options], check=True, capture_output=True)
        return path

    return generate


@pytest.fixture
def node_path(monkeypatch: pytest.MonkeyPatch):
    """Lets nodes that are started import this checkout, and more folders if need be."""

    def add(*folders: Path) -> None:
        paths = [*map(str, folders), str(ROOT), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))

    add()
    return add

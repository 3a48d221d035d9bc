"""The steps of docker/Dockerfile in a fresh virtual environment: pytest tests/docker/steps.py

Not part of the test run: it installs everything anew, with the torch that pip is set up for.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 300.0


@pytest.fixture(scope="module")
def image(dockerfile, tmp_path_factory):
    """The folder of an environment that was made as the Dockerfile tells."""
    place = tmp_path_factory.mktemp("image")
    source = place / "src"
    venv.create(place / "venv", with_pip=True)
    path = f"{place / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    for one in dockerfile("docker/Dockerfile"):
        if one.name == "COPY":
            *names, target = one.words
            for name in names:
                copy(ROOT / name, source / target, as_folder=target.endswith("/"))
        elif one.name == "RUN" and one.words[0] == "pip":
            subprocess.run(one.words, cwd=source, env={**os.environ, "PATH": path}, check=True)
    return place


def copy(source: Path, target: Path, *, as_folder: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return
    folder = target if as_folder else target.parent
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, folder)


@pytest.fixture
def command(image, monkeypatch):
    """The start of the command line `score-gadget` in that environment, away from any checkout."""
    monkeypatch.chdir(image)
    for name in ("PYTHONPATH", "SCORE_GADGET_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{image / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return [str(image / "venv" / "bin" / "score-gadget")]


def test_the_installation_works(command, image):
    done = subprocess.run([*command, "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"brain-small is whole, {image / 'venv'}" in done.stdout
    installed = image / "venv" / "share" / "gadgetron" / "config"
    names = {path.name for path in (ROOT / "pipelines").glob("*.xml")}
    assert {path.name for path in installed.iterdir()} == names


def test_the_container_command_gets_healthy(command, dockerfile):
    words = {one.name: one.words for one in dockerfile("docker/Dockerfile")}
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = [address if ":" in word else word for word in words["CMD"]]
    health = [*words["HEALTHCHECK"][1:], "--address", address]
    with subprocess.Popen([*command, *start]) as server:
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([*command, *health], capture_output=True).returncode:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(1)
        server.terminate()
        assert server.wait(60) == 0


def test_a_scan_is_reconstructed(command, image):
    subprocess.run([*command, "simulate", "raw.h5", "--matrix", "64", "--coils", "4"], check=True)
    subprocess.run([*command, "replay", "raw.h5", "-o", "out.h5"], check=True)
    assert (image / "out.h5").stat().st_size > 0

"""The checks of `score-gadget doctor`: what is installed and works."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from gadget import __version__
from gadget.diffusion import DEFAULT_MODEL
from gadget.errors import ConfigError, WeightsError

DISTRIBUTION = "score-gadget"
PACKAGES = ("torch", "numpy", "ismrmrd", "gadgetron", "h5py", "pydantic")
PIPELINE = "score_hybrid.xml"
START_SECONDS = 60.0
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    text: str
    problem: str | None = None
    """Why no dataset can be reconstructed, and what to do about it."""
    advice: str | None = None
    """What to install or change for more features."""


def findings() -> Iterator[Finding]:
    """Run all checks, one after the other."""
    for check in (versions, devices, models, nodes, server, extras):
        try:
            yield from check()
        except ImportError as error:
            problem = (
                f"A package cannot be imported ({error}): pip install --upgrade {DISTRIBUTION}."
            )
            yield Finding(check.__name__, "unknown", problem)


def versions() -> Iterator[Finding]:
    """Report the versions that a bug report should name."""
    yield Finding(DISTRIBUTION, f"{__version__}, {Path(__file__).parents[1]}")
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    for name in PACKAGES:
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            problem = f"{name} is not installed: pip install {DISTRIBUTION}."
            yield Finding(name, "missing", problem)


def devices() -> Iterator[Finding]:
    """Report the devices that torch can use."""
    import torch

    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        text = f"{gpu.name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        yield Finding(f"cuda:{index}", text)
    yield Finding("cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        reason = f"no driver or GPU for CUDA {built}" if built else "this torch is built without it"
        yield Finding("cuda", f"none: {reason}", advice="slices take seconds to minutes on the CPU")


def models() -> Iterator[Finding]:
    """Check that this machine's default model exists, and that the weights of all are intact."""
    import torch

    from gadget.diffusion.devices import select_device
    from gadget.diffusion.installed_models import available_models, find_model
    from gadget.diffusion.model_loading import load_prior, model_for

    default = model_for(DEFAULT_MODEL, select_device("auto"))
    for folder in available_models():
        try:
            load_prior(str(folder), torch.device("cpu"))
        except WeightsError as error:
            needed = folder.name == default
            yield Finding(
                "model",
                f"{folder.name} is damaged, {folder}",
                problem=str(error) if needed else None,
                advice=None if needed else str(error),
            )
        else:
            yield Finding("model", f"{folder.name} is whole, {folder}")
    try:
        find_model(default)
    except ConfigError as error:
        yield Finding("model", f"{default} is missing", str(error))


def nodes() -> Iterator[Finding]:
    """Check that the pipeline is there, and what Gadgetron starts nodes with works."""
    from gadget.stream.host.pipeline import find_pipeline, read_pipeline

    try:
        path = find_pipeline(PIPELINE)
        count = len(read_pipeline(path))
    except ConfigError as error:
        yield Finding("pipeline", f"{PIPELINE} is missing or damaged", str(error))
    else:
        yield Finding("pipeline", f"{path}, {count} nodes")
    failure = _start(sys.executable, "-m", "gadgetron")
    if failure is None:
        yield Finding("nodes", "python -m gadgetron works")
    else:
        problem = (
            f"'{sys.executable} -m gadgetron' fails ({failure}): pip install --upgrade gadgetron."
        )
        yield Finding("nodes", "python -m gadgetron fails", problem)


def server() -> Iterator[Finding]:
    """Check whether Gadgetron is installed, and finds the pipelines and the nodes."""
    from gadget.stream.host.pipeline import installed_pipeline

    binary = shutil.which("gadgetron")
    if binary is None:
        yield Finding("Gadgetron", "not on PATH: the embedded host takes its place")
        return
    home = Path(os.environ.get("GADGETRON_HOME") or Path(binary).resolve().parents[1])
    folder = home / "share" / "gadgetron" / "config"
    yield Finding("Gadgetron", f"{binary}, pipelines in {folder}")
    pipeline = installed_pipeline(PIPELINE)
    ours = pipeline.parent.glob("score_*.xml") if pipeline is not None else ()
    missing = sorted(path.name for path in ours if not (folder / path.name).is_file())
    if missing:
        advice = f"pip install {DISTRIBUTION} in Gadgetron's own environment, {home}"
        yield Finding("Gadgetron", f"does not find {', '.join(missing)}", advice=advice)
    python = shutil.which("python") or shutil.which("python3") or "python"
    # Gadgetron appends its folder for Python modules to the path of the nodes that it starts.
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(folder.parent / "python")]
    program = "import gadgetron, gadget.nodes.reconstruct"
    error = _start(python, "-c", program, PYTHONPATH=os.pathsep.join(paths))
    if error is not None:
        advice = (
            f"pip install {DISTRIBUTION} there: it is the Python that Gadgetron starts ({error})"
        )
        yield Finding("Gadgetron", f"{python} does not know the nodes", advice=advice)


def extras() -> Iterator[Finding]:
    """Report which extras are installed."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        advice = "pip install -e . in the checkout"
        yield Finding("extras", f"unknown: {DISTRIBUTION} is not installed", advice=advice)
        return
    wanted: dict[str, list[str]] = {}
    for requirement in requirements:
        found = re.fullmatch(r"([\w-]+).*;.*extra == ['\"](\w+)['\"]", requirement)
        if found and found[1] != DISTRIBUTION and found[2] != "dev":
            wanted.setdefault(found[2], []).append(found[1])
    for extra, packages in sorted(wanted.items()):
        missing = [name for name in packages if not _installed(name)]
        remedy = f"pip install '{DISTRIBUTION}[{extra}]'" if missing else None
        text = f"lacks {', '.join(missing)}" if missing else "installed"
        yield Finding("extra", f"{extra}: {text}", advice=remedy)
    yield Finding("bart", shutil.which("bart") or "not on PATH: not among the methods to compare")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _start(python: str, *arguments: str, **environment: str) -> str | None:
    """Run Python; return the error, if any."""
    try:
        done = subprocess.run(
            [python, *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"

"""Provenance of an evaluation: settings and versions that are needed to reproduce it."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib import metadata

from gadget import __version__
from gadget.diffusion.prior import Prior
from gadget.evaluation.plan import EvaluationPlan

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "sigpy", "fastmri")

Provenance = list[tuple[str, str]]
"""Names and values."""


def provenance(
    plan: EvaluationPlan, prior: Prior | None, samples: int, seconds: float
) -> Provenance:
    """Return settings and versions.

    Parameters
    ----------
    plan
        What was evaluated.
    prior
        The prior, if any method used one.
    samples
        Posterior samples.
    seconds
        How long it all took [s].
    """
    found = [
        ("inputs", ", ".join(plan.files) or "none"),
        ("patterns", ", ".join(pattern.name for pattern in plan.patterns)),
        ("methods", ", ".join(method.name for method in plan.methods)),
        ("seed", str(plan.receiver.seed)),
        ("posterior samples", str(samples)),
    ]
    if prior is not None:
        found += [("prior", f"{prior.name}, sha256 {prior.sha256}"), ("device", str(prior.device))]
    return [*found, ("took", f"{seconds / 60:.1f} minutes"), *_versions()]


def _versions() -> Provenance:
    """Return the versions of the software that the results depend on."""
    found = [("score-gadget", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    bart = shutil.which("bart")
    if bart:
        done = subprocess.run([bart, "version"], capture_output=True, text=True, check=False)
        found.append(("BART", done.stdout.strip()))
    return [*found, ("system", f"{platform.system()} {platform.machine()}")]

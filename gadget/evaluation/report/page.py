"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from gadget.errors import ConfigError
from gadget.evaluation.checks.lesions import lesion_rows
from gadget.evaluation.checks.noise import NoiseResult
from gadget.evaluation.collection import Collection
from gadget.evaluation.findings import Findings
from gadget.evaluation.paper_results import METHODS, PUBLISHED, Published, published_for
from gadget.evaluation.report import panels, plots
from gadget.evaluation.summary import MeanStd
from gadget.evaluation.uncertainty import BINS
from gadget.files import write_errors

PICTURED = (4, 8)
"""Accelerations that lesions are pictured at."""


def write_report(
    path: Path,
    findings: Findings,
    *,
    lead: str,
    command: str,
    provenance: Sequence[tuple[str, str]],
) -> None:
    """Write the page.

    Parameters
    ----------
    path
        HTML file.
    findings
        What it shows.
    lead
        The sentence below the title.
    command, provenance
        What reproduces the page: the command line, and settings and versions by name.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gadget.evaluation.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("page.html.j2").render(
        title="How good are the reconstructions?",
        lead=lead,
        main=_collection(findings.main),
        beside=_published(findings.main),
        uncertainty=_uncertainty(findings.main),
        anatomy=_collection(findings.anatomy),
        lesions=_lesions(findings),
        noise=_noise(findings.noise),
        command=command,
        provenance=provenance,
        published=PUBLISHED,
        published_methods=METHODS,
    )
    with write_errors(path, ConfigError):
        path.write_text(page, encoding="utf-8")


def _collection(found: Collection | None) -> dict[str, Any] | None:
    if found is None or not found.shown:
        return None
    return {
        "summary": found.summary,
        "panels": list(panels.comparison_panels(found)),
        "dots": [
            (
                pattern.label,
                plots.score_plot(
                    [one for one in found.records if one.pattern == pattern.name], found.methods
                ),
            )
            for pattern in found.patterns
        ],
    }


def _published(found: Collection | None) -> dict[str, Published]:
    """Return the published results for the patterns of a collection, by their names."""
    names = [pattern.name for pattern in found.patterns] if found else []
    figures = {name: published_for(name) for name in names}
    return {name: one for name, one in figures.items() if one}


def _uncertainty(found: Collection | None) -> dict[str, Any] | None:
    if found is None or not found.reliability:
        return None
    labels = {pattern.name: pattern.label for pattern in found.patterns}
    curves = [(labels[name], slices) for name, slices in found.reliability.items()]
    return {
        "text": "The standard deviation of the posterior samples, pixel by pixel, beside the true "
        "error of their mean. If errors are normal and the prediction is right, 68% of the errors "
        "lie within one standard deviation and 95% within two; the shares that were found are in "
        "the table above.",
        "plot": plots.calibration(curves),
        "groups": BINS,
        "panels": panels.uncertainty_panels(found),
    }


def _lesions(findings: Findings) -> dict[str, Any] | None:
    rows = lesion_rows(findings.lesions)
    if not rows:
        return None
    # A method may have failed on the first slice, which the pairs are of.
    found = {row.method for row in rows}
    labels = {one.name: one.label for one in findings.checked_methods if one.name in found}
    shown = [pair for pair in findings.lesion_pairs if pair.acceleration in PICTURED]

    def percent(value: MeanStd) -> str:
        deviation = None if value.deviation is None else 100 * value.deviation
        return MeanStd(100 * value.mean, deviation).text(0)

    return {
        "text": "Round lesions were laid into the complete scans, and every acceleration of a 1D "
        "random pattern was reconstructed twice from the same lines with the same noise, with and "
        "without them. Contrast kept: what the difference of both images has of the inserted "
        "contrast. Missed: lesions that show less than half of theirs. Invented: places without "
        "any lesion that differ from the truth by at least half of its contrast.",
        "plot": plots.lesions(rows, labels),
        "rows": rows,
        "labels": labels,
        "percent": percent,
        "panels": [panels.lesion_panel(shown)] if shown else [],
    }


def _noise(results: Sequence[NoiseResult]) -> dict[str, Any] | None:
    if not results:
        return None
    return {
        "text": "K-space without any object: receiver noise alone, a spike (one sample far too "
        "loud) and a tone (interference of one frequency, a line across the image). Energy above 1 "
        "was not measured but added, by amplified noise or by invention; an unevenness "
        "above that of the zero-filled image is structure that noise does not have.",
        "rows": [one.record for one in results],
        "patterns": {one.pattern.name: one.pattern.label for one in results},
        "labels": {one.method.name: one.method.label for one in results},
        "panels": panels.noise_panels(results),
    }

"""What an evaluation was of, in sentences, and how much of it is finished."""

from __future__ import annotations

from gadget.evaluation.findings import Findings
from gadget.evaluation.plan import EvaluationPlan
from gadget.text import pluralize


def lead(plan: EvaluationPlan, findings: Findings) -> str:
    """Return the lead of the report: what was evaluated, and how much of it if it was stopped."""
    left_out = f" {_left_out(findings)}" if findings.left_out else ""
    early = f" Stopped early: {progress(plan, findings)}." if findings.stopped else ""
    return f"{_evaluated(plan)}{left_out}{early}"


def progress(plan: EvaluationPlan, findings: Findings) -> str:
    """Return how much of what was planned is finished."""
    return f"{findings.done} of {plan.steps} results are finished"


def _left_out(findings: Findings) -> str:
    return f"Could not be evaluated, or only in part: {', '.join(sorted(findings.left_out))}."


def _evaluated(plan: EvaluationPlan) -> str:
    receiver = plan.receiver
    simulated = f"{receiver.coils} coils and noise of {receiver.noise:.1%} of bright tissue"
    if not plan.files:
        return f"Checks on phantoms with {simulated}."
    scans = pluralize(len(plan.files), "file")
    return (
        f"Complete scans, {pluralize(plan.slices, 'slice')} of each of {scans}, were undersampled, "
        "reconstructed, and compared with what they show. Images without raw data were given "
        f"{simulated}."
    )

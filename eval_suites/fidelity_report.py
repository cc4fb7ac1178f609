"""The fidelity gate's verdict as Markdown for people. Pure."""

from __future__ import annotations

from eval_suites.sanity_report import table
from judging.verdict import Outcome, Verdict

_ANSWER = {
    Outcome.PASS: "Passed: token by token the weights predict what their source does.",
    Outcome.FAIL: "Failed: these weights predict something else than their source, and are not released.",
    Outcome.INCONCLUSIVE: "Inconclusive: the texts do not decide how far the weights are from their source.",
    Outcome.ERROR: "Error: the weights could not be compared with their source.",
}


def to_markdown(verdict: Verdict) -> str:
    """The report; one table row per figure."""
    head = [f"# Fidelity gate: {verdict.outcome}", "", _ANSWER[verdict.outcome], ""]
    read = "The source was asked twice; what it differs from itself by is added to each limit."
    rows = table(verdict, before="Source with itself", now="Candidate")
    return "\n".join([*head, *rows, "", read, ""])

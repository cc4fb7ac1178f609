"""The sanity gate's verdict as Markdown for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from judging.verdict import Finding, Outcome, Verdict

_ANSWER = {
    Outcome.PASS: "Passed: the weights are what their recipe says, and the rest is the source's.",
    Outcome.FAIL: "Failed: these weights are not released.",
    Outcome.INCONCLUSIVE: "Inconclusive: some answers look broken, and too few to be sure.",
    Outcome.ERROR: "Error: the artefact was not judged.",
}


def to_markdown(verdict: Verdict) -> str:
    """The report; one table row per finding."""
    head = [f"# Sanity gate: {verdict.outcome}", "", _ANSWER[verdict.outcome], ""]
    return "\n".join([*head, *table(verdict, before="Before", now="Now"), ""])


def table(verdict: Verdict, *, before: str, now: str) -> Iterator[str]:
    """The lines of a table with all figures; ``before`` and ``now`` say of whom they are."""
    yield f"| What | Outcome | {before} | {now} | Bound | What was seen |"
    yield "|---|---|---|---|---|---|"
    yield from (_row(finding) for finding in verdict.findings)


def _row(finding: Finding) -> str:
    return f"| {' | '.join(' '.join(cell.replace('|', chr(92) + '|').split()) for cell in _cells(finding))} |"


def _cells(finding: Finding) -> Iterator[str]:
    yield finding.name
    yield f"**{finding.outcome}**"
    for figure in (finding.baseline, finding.candidate, finding.bound):
        yield "-" if figure is None else f"{figure:.4g}"
    yield finding.message

"""The gate's verdict as Markdown for people: answer first, then what to do, then the numbers.

Only words what the verdict holds; used for the run's artifact and its report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from eval_suites.beside import Beside, TaskBeside
from eval_suites.comparison import CANDIDATE, FLOOR, REVIEW, describe, percent
from eval_suites.markdown import cell
from eval_suites.suite import Suite
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_ANSWER = {
    Outcome.PASS: "Passed: no task lost more than its margin.",
    Outcome.FAIL: "Failed: the candidate is measurably worse than its margin allows.",
    Outcome.INCONCLUSIVE: "Inconclusive: the items do not decide whether the candidate is good enough.",
    Outcome.ERROR: "Error: the measurement itself is broken, so the candidate was not judged.",
}
_NEXT = {
    FailureClass.MODEL: "Next: use a gentler recipe or another source; this candidate is not released.",
    FailureClass.CONFIG: "Next: mend the suite or the spec as said below, then run again.",
    FailureClass.INFRA: "Next: run again; what was measured well is reused.",
}
_REVIEW = "Next: let people judge the answers in review.jsonl, beside this report, then run again."
_MORE = "Next: give the gate more to judge by; its findings say of what."
_COLUMNS = ("Task", "Against", "Outcome", "Baseline", "Candidate", "Difference", "Margin", "What was seen")
_BESIDE = ("Task", "Items", "Its score", "Candidate", "Candidate better by, points", "What was seen")


def to_markdown(
    suite: Suite, verdict: Verdict, beside: Sequence[Beside] = (), asked: Mapping[str, int] | None = None
) -> str:
    """The gate report; one table row per finding, with bounds and flips in its last column.

    ``asked`` is how many items the candidate was asked, by task, where that is known. APIs that were asked
    ``beside`` come last: they are no findings.
    """
    shown = [line for api in beside for line in ("", *_beside(api))]
    head, table = _head(suite, verdict), _table(suite, verdict)
    return "\n".join([*head, "", *table, "", *_how_to_read(suite, asked or {}), *shown, ""])


def next_step(verdict: Verdict) -> str:
    """What to do after a verdict that is no pass, as a sentence."""
    asks_people = any(finding.name.startswith(f"{REVIEW}/") for finding in verdict.findings)
    if asks_people and verdict.outcome is Outcome.INCONCLUSIVE:
        return _REVIEW
    return _NEXT[verdict.failure_class] if verdict.failure_class else _MORE


def _head(suite: Suite, verdict: Verdict) -> Iterator[str]:
    yield f"# Quality gate: {verdict.outcome}"
    yield ""
    yield _ANSWER[verdict.outcome]
    if not verdict.passed:
        yield next_step(verdict)
    yield ""
    yield f"Suite `{suite.name}` ({suite.digest.short}): {cell(suite.spec.description)}"


def _table(suite: Suite, verdict: Verdict) -> Iterator[str]:
    yield _row(_COLUMNS)
    yield _row("---" for _ in _COLUMNS)
    for finding in verdict.findings:
        yield _row(_cells(suite, finding))


def _how_to_read(suite: Suite, asked: Mapping[str, int]) -> Iterator[str]:
    yield (
        f"Passing means: the one-sided {100 * (1 - suite.alpha):.4g} % lower bound of each paired difference"
        " lies above minus the margin. Failing means: the upper bound lies below it. Where less is better, it"
        " is the other way round. The bounds hold for all looks together, so the first look that decides is"
        " the verdict on a task."
    )
    if asked:
        counts = ", ".join(f"{task} {count}" for task, count in asked.items())
        yield ""
        yield cell(f"Items asked: {counts}. All tasks are asked look by look until each is decided.")


def _beside(api: Beside) -> Iterator[str]:
    yield f"## Beside {api.name}: for comparison, not judged"
    yield ""
    yield cell(f"{', '.join(api.asked)}.")
    if api.failure:
        yield cell(f"It could not be asked{' to the end' if api.is_partial else ''}: {api.failure}")
    yield ""
    yield _row(_BESIDE)
    yield _row("---" for _ in _BESIDE)
    for task in api.tasks:
        yield _row(_beside_cells(task))


def _beside_cells(task: TaskBeside) -> Iterator[str]:
    yield task.task
    if task.score is None or task.difference is None:
        yield from ("-", "-", "-", "-", task.note)
        return
    score, difference = task.score, task.difference
    yield f"{score.samples}"
    yield f"{percent(score.estimate)} ({percent(score.lower)} to {percent(score.upper)})"
    yield _percent(task.candidate)
    yield f"{100 * difference.estimate:+.2f}"
    yield f"one-sided bounds {100 * difference.lower:+.2f} and {100 * difference.upper:+.2f}"


def _cells(suite: Suite, finding: Finding) -> Iterator[str]:
    against, _, task = finding.name.partition("/")
    lower = any(t.name == task and not t.spec.higher_is_better for t in suite.tasks)
    yield f"{task} (less is better)" if lower else task
    yield {CANDIDATE: "-", FLOOR: "its floor", REVIEW: "its reviews"}.get(against, against)
    yield f"**{finding.outcome}**"
    yield _percent(finding.baseline)
    yield _percent(finding.candidate)
    yield _difference(finding)
    yield _allowed(against, finding)
    yield finding.message.removeprefix(f"{describe(task, against)}: ")


def _allowed(against: str, finding: Finding) -> str:
    if against == FLOOR:
        return f"floor {_percent(finding.bound)}"
    compared = None not in (finding.baseline, finding.candidate, finding.bound)
    return f"{abs(100 * (finding.bound or 0)):.4g}" if compared else "-"


def _difference(finding: Finding) -> str:
    if finding.baseline is None or finding.candidate is None:
        return "-"
    return f"{100 * (finding.candidate - finding.baseline):+.2f}"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else percent(fraction)


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"

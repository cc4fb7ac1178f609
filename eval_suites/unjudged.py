"""Which answers people have to judge before the gate can go on, and the sheet that asks them. Pure.

The gate judges look by look, as far as all answers of a look are judged on both sides of a comparison. While
one is open, the next look's answers are wanted, and no others: people judge no more than it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from eval_suites.comparison import CANDIDATE, FLOOR, REVIEW
from eval_suites.plan import Plan
from eval_suites.report import EvalReport, Item
from eval_suites.reviews import judged
from eval_suites.suite import EvalTask, Suite
from eval_suites.suite_spec import ReviewedTask
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.digest import Digest
from registry.plain_text import counted

Sides = Sequence[tuple[Item, ...]]
"""The same items, in the order they are asked, of each model in a comparison."""


def judged_items(plan: Plan, task: str, sides: Sides) -> int:
    """How many items, whole looks of them, are judged on all sides before the first one that is not."""
    pairs = list(zip(*sides, strict=True))
    first = next((n for n, items in enumerate(pairs) if any(i.is_unjudged for i in items)), len(pairs))
    return max(count for count in (0, *plan.counts(task)) if count <= first)


def unjudged(
    plan: Plan,
    task: EvalTask,
    findings: Iterable[Finding],
    candidate: EvalReport,
    baselines: Mapping[str, EvalReport],
) -> list[Item]:
    """The answers that it takes to go on with a task after these findings; one may be there twice."""
    by_name = {finding.name: finding for finding in findings}
    wanted: list[Item] = []
    for name, sides in _comparisons(plan, task, candidate, baselines):
        if _is_open(by_name.get(f"{name}/{task.name}")):
            begin = judged_items(plan, task.name, sides)
            end = _end(plan, task.name, name, begin)
            wanted += [item for side in sides for item in side[begin:end] if item.is_unjudged]
    return wanted


def review_finding(task: EvalTask, wanted: Sequence[Item]) -> Finding:
    """Inconclusive, as these answers have to be judged first."""
    answers = len({(item.doc_id, (item.said or "").strip()) for item in wanted})
    said = f"people have to judge {counted(answers, 'answer')} first (`{task.spec.metric}`)"
    return Finding(
        name=f"{REVIEW}/{task.name}",
        outcome=Outcome.INCONCLUSIVE,
        message=f"{task.name}: {said}",
        failure_class=FailureClass.CONFIG,
    )


def sheet_of(
    suite: Suite,
    plan: Plan,
    seed: int,
    verdict: Verdict,
    candidate: EvalReport,
    baselines: Mapping[str, EvalReport],
) -> list[dict[str, Any]]:
    """A line for each answer that a verdict wants judged, once, its judgement blank: ``reviews`` reads it.

    In an order drawn by the seed, so that nothing tells which model said what. Empty where a verdict is not
    inconclusive: whatever people said would not change it.
    """
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return []
    open_tasks = {finding.name for finding in verdict.findings}
    asked = {
        judged(task.spec.metric, task.texts[item.doc_id], item.said or "")
        for task in suite.tasks
        if isinstance(task.spec, ReviewedTask) and f"{REVIEW}/{task.name}" in open_tasks
        for item in unjudged(plan, task, verdict.findings, candidate, baselines)
    }
    drawn = sorted(asked, key=lambda line: Digest.of_json([seed, *map(str, line)]).hex)
    return [{"prompt": prompt, "answer": answer, str(metric): None} for metric, prompt, answer in drawn]


def _comparisons(
    plan: Plan, task: EvalTask, candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> Iterator[tuple[str, Sides]]:
    after = candidate.of(task.name, plan.asked(task.name, candidate.looks))
    for name, baseline in baselines.items():
        asked = plan.asked(task.name, min(baseline.looks, candidate.looks))
        yield name, (baseline.of(task.name, asked), candidate.of(task.name, asked))
    if not baselines:
        yield CANDIDATE, (after,)
    if task.spec.floor is not None:
        yield FLOOR, (after,)


def _is_open(finding: Finding | None) -> bool:
    """Whether a comparison has not begun, or more items may settle it."""
    return finding is None or (finding.outcome is Outcome.INCONCLUSIVE and finding.failure_class is None)


def _end(plan: Plan, task: str, name: str, begin: int) -> int:
    """Where the next look ends; without a baseline there are no looks, and everything is judged at once."""
    counts = plan.counts(task)
    return counts[-1] if name == CANDIDATE else next((n for n in counts if n > begin), begin)

"""An API beside the candidate: paired with what both were asked, with bounds, and never a finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from eval_suites.beside import RANKED, Asked, Beside, compare
from eval_suites.gate_report import to_markdown
from eval_suites.plan import plan_of
from eval_suites.suite import Suite
from judging.verdict import Outcome
from tests.simulators.evaluation import SEED, judged, report

AT = "2026-11-03T00:00:00+00:00"


def right(items: int) -> dict[str, set[int]]:
    """The first so many items of each task."""
    return {"choose": set(range(items)), "write": set(range(items))}


def api(suite: Suite, asked: Asked, candidate: int = 540) -> Beside:
    """What comes of it beside a candidate that answers so many of 600 items."""
    tasks = compare(suite, plan_of(suite, SEED), report(suite, right(candidate)), asked)
    named = {"name": "frontier", "host": "api.example.com", "model": "big-1", "at": asked.at}
    return Beside(**named, models=asked.models, tasks=tasks, failure=asked.failure)  # type: ignore[arg-type]


def test_differences_are_the_candidates(facts: Suite) -> None:
    """Below zero where the API is better; the bounds hold the estimate, and prompts need not be the same."""
    theirs = report(facts, right(570), template="a chat")
    first, second = api(facts, Asked(report=theirs, at=AT, ranked=("choose",))).tasks
    assert (first.note, first.score) == (RANKED, None)
    assert second.score
    assert second.difference
    assert second.candidate == pytest.approx(0.90)
    assert second.score.estimate == pytest.approx(0.95)
    assert second.score.lower < 0.95 < second.score.upper
    assert second.difference.estimate == pytest.approx(-0.05)
    assert second.difference.lower < -0.05 < second.difference.upper < 0


def test_only_what_both_were_asked_is_compared(facts: Suite) -> None:
    """An API that gave up early is compared as far as it went; one that never answered, not at all."""
    early = Asked(report=report(facts, right(600), looks=2), at=AT, failure="said 402")
    shown = api(facts, early)
    assert [task.score.samples for task in shown.tasks if task.score] == [200, 200]
    assert shown.is_partial
    silent = api(facts, Asked(at=AT, failure="said 401"))
    assert {task.note for task in silent.tasks} == {"not asked"}
    assert not silent.is_partial


def test_where_less_is_better_a_lower_score_is_a_gain(choosing: Callable[..., Suite]) -> None:
    """Scores stay as they came; the difference says who is better."""
    suite = choosing(higher_is_better=False, chance=0.75)
    (task,) = api(suite, Asked(report=report(suite, right(120)), at=AT), candidate=60).tasks
    assert task.score
    assert task.difference
    assert (task.score.estimate, task.candidate) == (pytest.approx(0.2), pytest.approx(0.1))
    assert task.score.lower < 0.2 < task.score.upper
    assert task.difference.estimate == pytest.approx(0.1)


def test_what_is_kept_reads_back(facts: Suite) -> None:
    """But for a failure: the next try is a new one."""
    asked = Asked(report=report(facts, right(9)), at=AT, models=("a",), ranked=("choose",), failure="no")
    assert Asked.from_json(asked.to_json()) == replace(asked, failure="")


def test_the_report_shows_it_last_and_apart(facts: Suite) -> None:
    """With who answered, when, and what went wrong; whatever an API says stays in its line."""
    answered = report(facts, right(540))
    verdict = judged(facts, answered, {"source": answered})
    odd = Asked(report=report(facts, right(0)), at=AT, models=("small|\n# 2",), failure="said 402 |\n# pay")
    text = to_markdown(facts, verdict, [api(facts, odd)])
    before, _, beside = text.partition("## Beside frontier: for comparison, not judged\n")
    assert before.rstrip("\n") == to_markdown(facts, verdict).rstrip("\n")
    assert verdict.outcome is Outcome.PASS
    assert "big-1 at api.example.com, which answered as small\\| # 2, asked on 2026-11-03." in beside
    assert "It could not be asked to the end: said 402 \\| # pay" in beside
    assert "| choose | 600 | 0.00 % (" in beside
    assert "| 90.00 % | +90.00 | one-sided bounds" in beside

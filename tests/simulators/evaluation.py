"""A simulated evaluation: what the engine reports for a model that answers some items of a suite right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval_suites.gate import judge
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from judging.verdict import Verdict

SEED = 0


def engine_result(
    suite: Suite,
    right: Mapping[str, set[int]],
    *,
    template: str = "plain",
    rows: str = "rows",
    looks: int | None = None,
) -> dict[str, Any]:
    """What the engine found in so many looks (all) of a model that answers just the items ``right[task]``."""
    plan = plan_of(suite, SEED)
    asked = len(plan.looks) if looks is None else looks
    samples = [
        {
            "task": task.name,
            "doc_id": item,
            "doc_hash": _hash(rows, task.name, item),
            "prompt_hash": _hash(template, task.name, item),
            "value": float(item in right.get(task.name, set())),
        }
        for task in suite.tasks
        for item in plan.asked(task.name, asked)
    ]
    return {"ok": True, "versions": {"lm_eval": "0.4.13"}, "samples": samples, "looks": asked}


def report(suite: Suite, right: Mapping[str, set[int]], **how: Any) -> EvalReport:
    """The same as a report."""
    return EvalReport.from_json(engine_result(suite, right, **how))


def scored(suite: Suite, scores: Mapping[str, Sequence[float]]) -> EvalReport:
    """The report on a model whose items score so, each task's in the order of its rows."""
    found = report(suite, {})
    return EvalReport(
        {
            task: tuple(replace(item, value=scores[task][item.doc_id]) for item in items)
            for task, items in found.items.items()
        },
        found.looks,
    )


def judged(suite: Suite, candidate: EvalReport, baselines: Mapping[str, EvalReport]) -> Verdict:
    """The gate's verdict, by the plan that these reports are made by."""
    return judge(suite, plan_of(suite, SEED), candidate, baselines)


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()

"""People who judge answers, without people: a suite of 300 prompts in three looks, and what models said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval_suites.report import EvalReport
from eval_suites.reviews import Reviews, judged
from eval_suites.suite import Suite, load_suite
from eval_suites.suite_spec import ReviewedTask
from tests.simulators.evaluation import report

PROMPTS = 300


def reviewed_suite(folder: Path, **fields: Any) -> Suite:
    """A suite with the task ``opinions``, by verdicts, some fields of it written otherwise."""
    rows = "".join(f"{json.dumps({'q': f'question {n}'})}\n" for n in range(PROMPTS))
    (folder / "rows.jsonl").write_text(rows)
    task = {
        "name": "opinions",
        "dataset": "rows.jsonl",
        "prompt": "A {{q}}",
        "metric": "verdict",
        "margin": 0.08,
    }
    suite = {"name": "reviewed", "description": "Opinions.", "tasks": [{**task, **fields}]}
    (folder / "suite.yaml").write_text(json.dumps(suite))
    return load_suite(folder / "suite.yaml")


def answered(
    suite: Suite, say: Callable[[int], str], *, looks: int = 3, template: str = "plain"
) -> EvalReport:
    """The report on a model that says this to each prompt."""
    found = report(suite, {}, looks=looks, template=template)
    items = (replace(item, value=math.nan, said=say(item.doc_id)) for item in found.items["opinions"])
    return replace(found, items={"opinions": tuple(items)})


def reviews_of(suite: Suite, reports: Iterable[EvalReport], score: Callable[[str], float]) -> Reviews:
    """What people say who judge every answer in these reports by its text."""
    (task,) = suite.tasks
    assert isinstance(task.spec, ReviewedTask)
    return Reviews(
        {
            judged(task.spec.metric, task.texts[item.doc_id], item.said or ""): score(item.said or "")
            for found in reports
            for item in found.items["opinions"]
        }
    )

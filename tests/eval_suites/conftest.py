"""A suite large enough to judge: two tasks of 600 items each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eval_suites.suite import Suite, load_suite
from eval_suites.suite_spec import LocalTask, SuiteSpec

SUITE = """\
name: facts
description: Closed-book | facts.
tasks:
  - {name: choose, dataset: rows.jsonl, kind: choices, prompt: "{{q}}", choices: c, metric: acc,
     chance: 0.25, margin: 0.03}
  - {name: write, dataset: rows.jsonl, kind: generate, prompt: "{{q}}", answer: w, metric: exact_match,
     chance: 0.0, margin: 0.03}
"""


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The suite ``facts`` with its tasks ``choose`` and ``write``."""
    folder = tmp_path_factory.mktemp("facts")
    rows = ({"q": f"Fact {n} is", "c": list("abcd"), "answer": n % 4, "w": f"x{n}"} for n in range(600))
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "facts.yaml").write_text(SUITE)
    return load_suite(folder / "facts.yaml")


@pytest.fixture(scope="session")
def choosing(facts: Suite) -> Callable[..., Suite]:
    """Makes the suite with its task ``choose`` alone, some fields of the task written otherwise."""

    def made(**fields: Any) -> Suite:
        task = facts.tasks[0]
        spec = LocalTask.model_validate({**task.spec.model_dump(), **fields})
        suite = SuiteSpec.model_validate({**facts.spec.model_dump(), "tasks": [spec]})
        return Suite(suite, (replace(task, spec=spec),))

    return made

"""A suite large enough to judge: two tasks of 600 items each."""

from __future__ import annotations

import json

import pytest

from eval_suites.suite import Suite, load_suite

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

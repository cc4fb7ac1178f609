"""Renders a suite's task as a task file of lm-eval 0.4.13; pure text, nothing is run.

One metric and one filter per task, so that a sample has exactly one value. lm-eval's own tasks need no file:
the engine has them. Whoever runs lm-eval writes the files, points
``TaskManager(include_path=DIR, include_defaults=False)`` at them and seeds few-shot.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import yaml

from eval_suites.suite import Suite
from eval_suites.suite_spec import Kind, LocalTask, RowsTask

# Takes the first line; lm-eval strips what a regex finds, and a completion starts with a space.
_FIRST_LINE = {
    "name": "line",
    "filter": [{"function": "regex", "regex_pattern": "[^\\n]*"}, {"function": "take_first"}],
}

_BY_PEOPLE = "bypass"  # lm-eval's word for a metric that scores nothing: the engine keeps the answer whole


def render_tasks(suite: Suite, folder: Path) -> dict[str, bytes]:
    """File name -> content, for this folder: a task file per task over rows of our own, and its rows.

    They are those that were read with the suite: the owner's file may hold others by now.
    """
    files = {}
    for task in suite.tasks:
        if isinstance(task.spec, RowsTask):
            rows = f"{task.name}.jsonl"
            files[f"{task.name}.yaml"] = render_task(task.spec, folder / rows).encode()
            files[rows] = task.rows
    return files


def render_task(spec: RowsTask, rows: Path) -> str:
    """The YAML of one lm-eval task; its rows are read from this path, which has to be absolute."""
    target, metric, aggregation = _how_scored(spec)
    fields: dict[str, Any] = {
        "task": spec.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": glob.escape(str(rows))}},  # lm-eval takes it for a pattern
        "test_split": "test",
        # Naming the split makes lm-eval leave the item itself out of its own worked examples.
        "fewshot_split": "test",
        "num_fewshot": spec.few_shot,
        "doc_to_text": spec.prompt,
        "doc_to_target": target,
        "target_delimiter": " ",
        "metric_list": [
            {
                "metric": metric,
                "aggregation": aggregation,
                "higher_is_better": spec.higher_is_better,
            }
        ],
        **_how_asked(spec),
        "metadata": {"version": 1.0},
    }
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=2**16)


def _how_scored(spec: RowsTask) -> tuple[str, str, str]:
    """The right answer's field, the metric, and how lm-eval sums it up."""
    if isinstance(spec, LocalTask):
        return spec.answer, str(spec.metric), "mean"
    return "", _BY_PEOPLE, _BY_PEOPLE


def _how_asked(spec: RowsTask) -> dict[str, Any]:
    if isinstance(spec, LocalTask) and spec.kind is Kind.CHOICES:
        return {"output_type": "multiple_choice", "doc_to_choice": spec.choices}
    one_line = isinstance(spec, LocalTask)
    return {
        "output_type": "generate_until",
        "generation_kwargs": {
            "until": ["\n"] if one_line else [],
            "max_gen_toks": spec.max_tokens,
            "do_sample": False,
            "temperature": 0.0,
        },
        **({"filter_list": [_FIRST_LINE]} if one_line else {}),
    }

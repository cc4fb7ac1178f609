"""Rendered tasks are what lm-eval 0.4.13 reads: their text is pinned here, their meaning end to end."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uv
import yaml

from eval_suites.dataset import read_rows, render
from eval_suites.lm_eval_task import render_tasks
from eval_suites.suite import Suite, find_suite, load_suite

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "fixtures" / "suites" / "example.yaml"
FOLDER = Path("/run/tasks")
ENGINE = ROOT / "tasks" / "engines" / "evaluate_lm_eval.py"

CHOICES = """\
task: capitals
dataset_path: json
dataset_kwargs:
  data_files:
    test: DATASET
test_split: test
fewshot_split: test
num_fewshot: 0
doc_to_text: '{{question}}'
doc_to_target: answer
target_delimiter: ' '
metric_list:
- metric: acc
  aggregation: mean
  higher_is_better: true
output_type: multiple_choice
doc_to_choice: choices
metadata:
  version: 1.0
"""

# Loads the folder argv[1] as Headgate's engine does and prints what each task would ask and score.
ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
from lm_eval.tasks import TaskManager
manager = TaskManager(include_path=sys.argv[1], include_defaults=False)
said = {}
for name, task in manager.load(sys.argv[2:])["tasks"].items():
    task.set_fewshot_seed(1234)
    task.build_all_requests()
    for request in task.instances:
        request.resps.append((-1.0 * request.idx, False) if request.idx else (-0.5, False))
        if task.OUTPUT_TYPE == "generate_until":
            request.resps[:] = [" " + request.doc["answer"] + " \\nQ: more"]
    task.apply_filters()
    said[name] = {
        "arguments": [request.args for request in task.instances],
        "filters": sorted(task.instances[0].filtered_resps),
        "answers": [r.filtered_resps["line"] for r in task.instances if "line" in r.filtered_resps],
        "scores": [
            {k: float(v) for k, v in task.process_results(
                doc, [list(r.filtered_resps.values())[0] for r in task.instances if r.doc_id == number]
            ).items()}
            for number, doc in enumerate(task.eval_docs)
        ],
    }
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def suite() -> Suite:
    """The example suite."""
    return load_suite(EXAMPLE)


def rendered(suite: Suite, number: int) -> str:
    """The text of one of its tasks."""
    task = suite.tasks[number]
    return render_tasks(suite, FOLDER)[f"{task.name}.yaml"].decode()


def test_a_choices_task_is_rendered_as_pinned(suite: Suite) -> None:
    """The whole text, so that a change of what is asked is seen in review."""
    assert rendered(suite, 0) == CHOICES.replace("DATASET", "/run/tasks/capitals.jsonl")


def test_a_generate_task_decodes_one_line_greedily(suite: Suite) -> None:
    """One filter and one metric, so that a sample has one value."""
    task = yaml.safe_load(rendered(suite, 1))
    assert task["output_type"] == "generate_until"
    assert task["doc_to_text"] == "Q: {{question}}\nA:"
    assert task["generation_kwargs"] == {
        "until": ["\n"],
        "max_gen_toks": 8,
        "do_sample": False,
        "temperature": 0.0,
    }
    assert [given["name"] for given in task["filter_list"]] == ["line"]
    assert [given["metric"] for given in task["metric_list"]] == ["exact_match"]
    assert "doc_to_choice" not in task


def test_what_people_judge_is_written_to_its_end_and_not_scored() -> None:
    """No first line, no right answer, no worked example."""
    suite = find_suite("reviewed")
    task = yaml.safe_load(rendered(suite, 0))
    assert (task["doc_to_target"], task["num_fewshot"], "filter_list" in task) == ("", 0, False)
    assert (task["generation_kwargs"]["until"], task["generation_kwargs"]["max_gen_toks"]) == ([], 256)
    assert [given["metric"] for given in task["metric_list"]] == ["bypass"]


def test_every_task_of_a_suite_gets_a_file_and_its_rows(suite: Suite) -> None:
    """Named after the task; the rows are those that were read, byte by byte."""
    files = render_tasks(suite, FOLDER)
    assert sorted(files) == ["capitals.jsonl", "capitals.yaml", "sums.jsonl", "sums.yaml"]
    for task in suite.tasks:
        assert files[f"{task.name}.jsonl"] == task.dataset.read_bytes()


def test_a_folder_may_have_any_name(suite: Suite) -> None:
    """lm-eval takes a path for a pattern, in which brackets and stars stand for other letters."""
    file = yaml.safe_load(render_tasks(suite, Path("/v[2]*"))["sums.yaml"])
    assert file["dataset_kwargs"]["data_files"]["test"] == "/v[[]2][*]/sums.jsonl"


def test_prompts_with_any_text_survive_the_rendering(suite: Suite) -> None:
    """Quotes, colons and letters outside ASCII are data to YAML too."""
    prompt = "Größe: \"{{question}}\" # 'no' comment\n\n{{answer}}:"
    task = replace(suite.tasks[0], spec=suite.tasks[0].spec.model_copy(update={"prompt": prompt}))
    assert yaml.safe_load(rendered(replace(suite, tasks=(task,)), 0))["doc_to_text"] == prompt


@pytest.mark.e2e
def test_lm_eval_asks_and_scores_what_the_suite_says(suite: Suite, tmp_path: Path) -> None:
    """The real lm-eval, offline: prompts, continuations, worked examples, the filter and the scores."""
    shots = suite.tasks[0].spec.model_copy(update={"name": "shots", "few_shot": 7})
    tasks = (*suite.tasks, replace(suite.tasks[0], spec=shots))
    (tmp_path / "v[2]*").mkdir()
    said = ask_lm_eval(Suite(suite.spec, tasks), tmp_path / "v[2]*")

    rows = read_rows(suite.tasks[0].rows, "capitals")
    asked = [[render(suite.tasks[0].spec, row), f" {choice}"] for row in rows for choice in row["choices"]]
    assert said["capitals"]["arguments"] == asked
    assert [score["acc"] for score in said["capitals"]["scores"]] == [
        float(row["answer"] == 0) for row in rows
    ]

    sums = read_rows(suite.tasks[1].rows, "sums")
    assert [prompt for prompt, _ in said["sums"]["arguments"]] == [
        render(suite.tasks[1].spec, row) for row in sums
    ]
    assert said["sums"]["filters"] == ["line"]
    assert said["sums"]["answers"] == [row["answer"] for row in sums]
    assert {score["exact_match"] for score in said["sums"]["scores"]} == {1.0}

    for (prompt, _), (question, _) in zip(said["shots"]["arguments"], asked, strict=True):
        assert prompt.endswith(f"\n\n{question}")
        assert prompt.count(question) == 1, "an item is not its own worked example"
        assert prompt.count("The capital of") == 8


def ask_lm_eval(suite: Suite, folder: Path) -> dict[str, Any]:
    """What lm-eval makes of the rendered suite, in the evaluation engine's own environment."""
    for name, content in render_tasks(suite, folder).items():
        (folder / name).write_bytes(content)
    tool = uv.find_uv_bin()
    subprocess.run([tool, "sync", "--quiet", "--script", str(ENGINE)], check=True)
    find = [tool, "python", "find", "--script", str(ENGINE)]
    python = subprocess.run(find, check=True, capture_output=True, text=True).stdout.strip()
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    done = subprocess.run(
        [python, "-c", ASK, str(folder), *(task.name for task in suite.tasks)],
        env={**os.environ, **offline, "HF_HOME": str(folder / "hf")},
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer

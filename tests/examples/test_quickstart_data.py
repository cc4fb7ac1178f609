"""The committed data of the quickstart: reproducible, and calibration never sees an item of the suite."""

import json
from pathlib import Path
from typing import Any

from eval_suites.suite import find_suite
from examples.quickstart import make_facts

EXAMPLES = Path(make_facts.__file__).parent
SUITES = EXAMPLES.parent.parent / "eval_suites"


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_committed_files_are_what_the_program_writes(tmp_path: Path) -> None:
    """Nobody edited them by hand."""
    make_facts.write_data(tmp_path, tmp_path)
    for written in tmp_path.iterdir():
        folder = SUITES if written.name == "quickstart.jsonl" else EXAMPLES
        assert written.read_bytes() == (folder / written.name).read_bytes(), written.name


def test_suite_is_large_enough_and_loads() -> None:
    """640 items: at a margin of 3 % fewer could not tell."""
    suite = find_suite("quickstart")
    assert [task.items for task in suite.tasks] == [640]


def test_every_item_asks_a_fact_that_was_taught() -> None:
    """And its answer is that fact's."""
    taught = {fact["prompt"]: fact["answer"] for fact in _rows(EXAMPLES / "facts.jsonl")}
    for item in _rows(SUITES / "quickstart.jsonl"):
        assert item["choices"][item["answer"]] == taught[item["prompt"]]


def test_calibration_is_disjoint_from_the_suite() -> None:
    """Neither a land nor an answer of any item is in the calibration texts."""
    texts = " ".join(row["text"] for row in _rows(EXAMPLES / "calibration.jsonl"))
    asked = [fact for fact in _rows(EXAMPLES / "facts.jsonl") if fact["used_for"] == "suite"]
    words = {word.strip(".,") for word in texts.split()}
    assert not words & {fact["subject"] for fact in asked}
    assert not words & {fact["answer"] for fact in asked}


def test_answers_are_unique() -> None:
    """A wrong choice is never right by accident."""
    answers = [fact["answer"] for fact in _rows(EXAMPLES / "facts.jsonl")]
    assert len(answers) == len(set(answers)) == 800

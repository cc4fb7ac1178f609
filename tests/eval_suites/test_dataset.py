"""Rows that would waste a server start, or count twice, are refused with the item's number."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.dataset import check_rows, read_dataset, read_rows, render
from eval_suites.suite_spec import LocalTask
from registry.errors import UsageError

CHOICES: dict[str, Any] = {
    "name": "t",
    "dataset": "t.jsonl",
    "kind": "choices",
    "prompt": "{{q}}",
    "choices": "c",
    "answer": "a",
    "metric": "acc",
    "chance": 0.5,
    "margin": 0.03,
}
GENERATE: dict[str, Any] = {**CHOICES, "kind": "generate", "metric": "exact_match", "choices": None}


def row(**changes: Any) -> dict[str, Any]:
    """A sound row of a choices task, changed."""
    return {"q": "The sky is", "c": ["blue", "green"], "a": 0, **changes}


def refusal(rows: list[Mapping[str, Any]], **task: Any) -> str:
    """What is said about these rows."""
    with pytest.raises(UsageError) as caught:
        check_rows(LocalTask.model_validate({**CHOICES, **task}), rows, "t.jsonl")
    return str(caught.value)


def test_sound_rows_pass_with_fields_of_the_owner() -> None:
    """Answers by index or by text; what the task does not use is not looked at."""
    check_rows(LocalTask.model_validate(CHOICES), [row(id=1), row(q="Grass is", a=1, note=None)], "t.jsonl")
    check_rows(LocalTask.model_validate(CHOICES), [row(a="blue")], "t.jsonl")
    check_rows(LocalTask.model_validate(GENERATE), [row(a="blue")], "t.jsonl")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"q": None}, "item 2: field 'q' is no text or number"),
        ({"q": "12"}, "item 2: its prompt is a bare number"),
        ({"q": ""}, "item 2: its prompt is blank"),
        ({"q": " \0\u200b"}, "item 2: its prompt is blank"),
        ({"c": "blue"}, "item 2: its choices are not a list"),
        ({"c": ["blue"]}, "item 2: its choices are not a list"),
        ({"c": ["blue", ""]}, "item 2: its choices are not a list"),
        ({"c": ["blue", " green"]}, "item 2: its choices are not a list of texts without surrounding"),
        ({"c": ["blue", "blue"]}, "item 2: a choice is given twice"),
        ({"a": 2}, "item 2: its answer 2 is neither an index nor a text of its 2 choices"),
        ({"a": -1}, "item 2: its answer -1"),
        ({"a": True}, "item 2: its answer True"),
        ({"a": "red"}, "item 2: its answer 'red'"),
        ({"a": 0, "q": "The sky is"}, "item 2 asks the same as item 1"),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(changes: dict[str, Any], said: str) -> None:
    """By its number, with what is wrong and what it holds."""
    assert said in refusal([row(), row(**{"q": "Grass is", "a": 1, **changes})])


@pytest.mark.parametrize("answer", [4, "", " 4", "4\n5", None])
def test_a_generated_answer_is_one_line_of_text(answer: object) -> None:
    """Generation stops at the line's end and is stripped, so nothing else can ever be equal."""
    assert "is not one line of text" in refusal([row(a=answer)], **GENERATE)


def test_an_absent_field_lists_those_there_are() -> None:
    """The usual cause is another name."""
    said = refusal([{"q": "x", "options": [], "a": 0}])
    assert "item 1: has no field 'c'; it has 'q', 'options', 'a'" in said


def test_a_chance_below_guessing_is_refused() -> None:
    """A chance too low would call a guessing baseline able."""
    assert "chance 0.1 is worse than what guessing scores here, 0.500" in refusal([row()], chance=0.1)


def test_a_chance_above_guessing_is_refused_where_less_is_better() -> None:
    """There it is the lower score that shows that a model knows something."""
    bad = {"higher_is_better": False}
    assert "chance 0.9 is worse than what guessing" in refusal([row()], chance=0.9, **bad)
    check_rows(LocalTask.model_validate({**CHOICES, **bad, "chance": 0.5}), [row()], "t.jsonl")


def test_a_third_may_be_written_as_033() -> None:
    """Two digits are precise enough for a chance."""
    check_rows(LocalTask.model_validate({**CHOICES, "chance": 0.33}), [row(c=["x", "y", "z"])], "t.jsonl")


def test_answers_of_two_types_are_refused() -> None:
    """lm-eval's reader wants one type per column."""
    assert "a text in some items and a number in others" in refusal([row(), row(q="Grass is", a="green")])


def test_a_column_of_dates_is_refused() -> None:
    """pyarrow turns it into timestamps, on which lm-eval fails in the middle of a run."""
    assert "'c' holds only dates" in refusal([row(c=["2020-01-01", "2021-01-01"])])


def test_too_few_rows_for_worked_examples_are_refused() -> None:
    """An item is never its own example."""
    assert "few_shot 1 needs more than the 1 items" in refusal([row()], few_shot=1)


def test_many_problems_are_cut_short() -> None:
    """Five are enough to see the pattern."""
    said = refusal([row(a=9, q=f"{n}?") for n in range(40)])
    assert said.count("neither an index") == 5
    assert "and 35 more" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b'{"a": 1}\n{"a": \n', "line 2, is not JSON"),
        (b"[1]\n", "line 1, is not a JSON object. it is [1]"),
        (b'\xef\xbb\xbf{"a": 1}\n', "line 1, is not JSON. it begins with a byte order mark"),
        (b'{"a": "\xfc"}\n', "it is not UTF-8 text"),
        (b'{"a": NaN}\n', "it has the number NaN"),
        (b'{"a": {"b": [-1e999]}}\n', "it has a number beyond all that 64 bits can hold"),
        (b'{"a": [9223372036854775808]}\n', "it has the number 9223372036854775808, which 64 bits"),
        (b'{"a": "z", "a": "y"}\n', "the key 'a' is given twice"),
        (b'{"a": "\\ud800"}\n', "it has half a character"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "it is nested more than 64 levels deep"),
    ],
)
def test_rows_that_lm_eval_cannot_read_or_reads_otherwise_are_refused(data: bytes, said: str) -> None:
    """With the line, and what to write instead."""
    with pytest.raises(UsageError) as caught:
        read_rows(data, "t.jsonl")
    assert said in str(caught.value)
    assert "t.jsonl" in str(caught.value)
    assert "Next: write one JSON object per line" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (os.mkfifo, "it is a pipe or a device"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a pipe or a device"),
    ],
)
def test_a_dataset_that_is_no_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], why: str
) -> None:
    """Nobody waits for a pipe."""
    make(tmp_path / "t.jsonl")
    with pytest.raises(UsageError, match=rf"t\.jsonl cannot be read\. {why}.*Next: give `dataset`"):
        read_dataset(tmp_path / "t.jsonl")


INTEGERS = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.dictionaries(st.text(), st.text() | INTEGERS | st.none()), min_size=1, max_size=5))
def test_rows_are_read_as_written(rows: list[dict[str, Any]]) -> None:
    """Any text survives, line separators that are not newlines included."""
    text = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n\n"
    assert list(read_rows(text.encode(), "t.jsonl")) == rows


def test_a_prompt_shows_the_rows_text_as_it_is() -> None:
    """Braces in a row are not a template."""
    task = LocalTask.model_validate({**CHOICES, "prompt": "Q: {{ q }}\nA:"})
    assert render(task, row(q="{{x}} {% y")) == "Q: {{x}} {% y\nA:"

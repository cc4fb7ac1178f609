"""Reads a task's rows (JSONL) and says what is wrong with them before a server is started for them.

Checks only what the task uses: other fields of a row are the owner's business. How rows become
prompts is lm-eval's work; ``render`` shows the same text here, to find items that ask the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_suites.suite_spec import PLACEHOLDER, Kind, LocalTask, RowsTask
from registry.data_errors import worded
from registry.errors import UsageError
from registry.regular_file import read_regular
from registry.strict_json import read_strictly, shown

Row = Mapping[str, Any]
_ONE_PER_LINE = "write one JSON object per line"
_SHOWN_PROBLEMS = 5
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")  # pyarrow reads a column of these as timestamps
_CHANCE_ROUNDING = 0.005  # lets a suite write 0.33 for a third


def read_dataset(path: Path) -> bytes:
    """What is in the file of a dataset; raises UsageError."""
    try:
        return read_regular(path)
    except OSError as error:
        raise UsageError(
            f"the dataset {path} cannot be read",
            why=worded(error),
            next_step="give `dataset` a path relative to the suite file, to a UTF-8 JSONL file",
        ) from None


def read_rows(data: bytes, where: str) -> tuple[Row, ...]:
    """The objects of JSONL in order, blank lines left out; raises UsageError naming the line."""
    lines = enumerate(data.split(b"\n"), 1)
    rows = tuple(_row(f"{where}, line {number},", line) for number, line in lines if line.strip())
    if not rows:
        raise UsageError(f"the dataset {where} is empty", next_step=_ONE_PER_LINE)
    return rows


def check_rows(task: RowsTask, rows: Sequence[Row], where: str) -> None:
    """Raises UsageError with the first problems of the rows for this task; items count from 1."""
    problems = list(_problems(task, rows)) or [*_set_problems(task, rows), *_size_problems(task, rows)]
    if not problems:
        return
    shown = "".join(f"\n  {problem}" for problem in problems[:_SHOWN_PROBLEMS])
    more = f"\n  and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
    raise UsageError(
        f"{where} does not fit its task {task.name!r}:{shown}{more}",
        next_step="mend the rows or the task and run the same command again",
    )


def render(task: RowsTask, row: Row) -> str:
    """The prompt of one row, as lm-eval renders it without worked examples."""
    return PLACEHOLDER.sub(lambda found: str(row[found[1]]), task.prompt)


def solved(task: LocalTask, row: Row) -> str:
    """The prompt of one row and its right answer, joined by one space."""
    answer = row[task.answer]
    right = row[task.choices][answer] if task.choices and isinstance(answer, int) else answer
    return f"{render(task, row)} {right}"


def _row(where: str, line: bytes) -> Row:
    try:
        value = read_strictly(line)
        _refuse_numbers(value)
    except ValueError as error:
        raise UsageError(f"{where} is not JSON", why=str(error), next_step=_ONE_PER_LINE) from None
    if not isinstance(value, dict):
        raise UsageError(
            f"{where} is not a JSON object", why=f"it is {shown(value)}", next_step=_ONE_PER_LINE
        )
    return value


def _refuse_numbers(value: Any) -> None:
    """Those that lm-eval's reader takes for others: it has 64 bits for each."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _refuse_numbers(inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it has a number beyond all that 64 bits can hold: write it as a text")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"it has the number {shown(value)}, which 64 bits cannot hold: write it as a text")


def _problems(task: RowsTask, rows: Sequence[Row]) -> Iterator[str]:
    for number, row in enumerate(rows, 1):
        for problem in _row_problems(task, row):
            yield f"item {number}: {problem}"


def _used_fields(task: RowsTask) -> list[str]:
    named = [*_answer_fields(task), task.cluster]
    return [*task.prompt_fields, *(field for field in named if field)]


def _answer_fields(task: RowsTask) -> list[str | None]:
    return [task.choices, task.answer] if isinstance(task, LocalTask) else []


def _row_problems(task: RowsTask, row: Row) -> Iterator[str]:
    absent = [field for field in _used_fields(task) if field not in row]
    if absent:
        yield f"has no field {', '.join(map(repr, absent))}; it has {', '.join(map(repr, row))}"
        return
    for field in (*task.prompt_fields, *([task.cluster] if task.cluster else [])):
        if not _is_scalar(row[field]):
            yield f"field {field!r} is no text or number: {row[field]!r}"
    if not any(letter.isprintable() and not letter.isspace() for letter in render(task, row)):
        yield "its prompt is blank"
    if isinstance(task, LocalTask):
        yield from _answer_problems(task, row)


def _answer_problems(task: LocalTask, row: Row) -> Iterator[str]:
    answer = row[task.answer]
    if task.choices:
        yield from _choice_problems(row[task.choices], answer)
        if render(task, row).isdigit():
            yield "its prompt is a bare number, which lm-eval would take for an index"
    elif not isinstance(answer, str) or not answer or answer != answer.strip() or "\n" in answer:
        yield f"its answer is not one line of text without surrounding white space: {answer!r}"


def _choice_problems(choices: Any, answer: Any) -> Iterator[str]:
    texts = choices if isinstance(choices, list) else []
    if len(texts) < 2 or not all(isinstance(text, str) and text and text == text.strip() for text in texts):
        yield f"its choices are not a list of texts without surrounding white space: {choices!r}"
    elif len(set(texts)) < len(texts):
        yield f"a choice is given twice: {choices!r}"
    elif not _is_answer(answer, texts):
        yield f"its answer {answer!r} is neither an index nor a text of its {len(texts)} choices"


def _is_answer(answer: Any, texts: list[str]) -> bool:
    if isinstance(answer, str):
        return answer in texts
    return isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(texts)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _looks_like_dates(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return all(isinstance(text, str) and _DATE.match(text) for text in texts)


def _set_problems(task: RowsTask, rows: Sequence[Row]) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        asked = json.dumps([render(task, row), *(row.get(field or "") for field in _answer_fields(task))])
        if asked in first:
            yield f"item {number} asks the same as item {first[asked]}"
        first.setdefault(asked, number)
    for field in _used_fields(task):
        if all(_looks_like_dates(row[field]) for row in rows):
            yield f"the field {field!r} holds only dates, which lm-eval's reader would turn into no text"
    if isinstance(task, LocalTask):
        yield from _answer_set_problems(task, rows)


def _answer_set_problems(task: LocalTask, rows: Sequence[Row]) -> Iterator[str]:
    if len({type(row[task.answer]) for row in rows}) > 1:
        yield f"the field {task.answer!r} is a text in some items and a number in others"
    if task.kind is Kind.CHOICES:
        guessing = sum(1 / len(row[task.choices or ""]) for row in rows) / len(rows)
        if task.goodness(task.chance) < task.goodness(guessing) - _CHANCE_ROUNDING:
            yield f"chance {task.chance} is worse than what guessing scores here, {guessing:.3f}"


def _size_problems(task: RowsTask, rows: Sequence[Row]) -> Iterator[str]:
    if task.few_shot >= len(rows):
        yield f"few_shot {task.few_shot} needs more than the {len(rows)} items there are"

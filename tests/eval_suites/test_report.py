"""A report keeps what the engine measured, and pairs items only where both models were asked the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.report import EvalReport, Item, Pairing, pair
from eval_suites.suite import Suite, load_suite
from tests.simulators.evaluation import engine_result

EXAMPLE = Path(__file__).parents[1] / "fixtures" / "suites" / "example.yaml"
SAMPLE = {"task": "t", "doc_id": 3, "doc_hash": "d", "prompt_hash": "p", "value": 1.0}

items = st.builds(
    Item,
    doc_id=st.integers(0, 5),
    doc_hash=st.sampled_from("ab"),
    prompt_hash=st.sampled_from("pq"),
    value=st.sampled_from([0.0, 1.0]),
)
item_lists = st.lists(items, unique_by=lambda item: item.doc_id)


@pytest.fixture(scope="module")
def suite() -> Suite:
    """The example suite."""
    return load_suite(EXAMPLE)


def test_an_engines_result_is_read_in_the_order_of_items(suite: Suite) -> None:
    """However the engine ordered its samples."""
    result = engine_result(suite, {"capitals": {0, 5}})
    result["samples"].reverse()
    report = EvalReport.from_json(result)
    assert [item.value for item in report.items["capitals"]] == [1, 0, 0, 0, 0, 1, 0, 0]
    assert [item.value for item in report.of("sums", (5, 0))] == [0, 0]
    assert report.of("unknown", (0,)) == ()
    assert report.looks == 1


def test_a_report_survives_json(suite: Suite) -> None:
    """Strict JSON, and the same value back."""
    report = EvalReport.from_json(engine_result(suite, {"sums": {1}}))
    text = json.dumps(report.to_json(), allow_nan=False)
    assert EvalReport.from_json(json.loads(text)) == report


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_score_that_is_no_number_is_kept_as_such(value: float | None) -> None:
    """JSON has no NaN; a report must carry the fact to the gate all the same."""
    report = EvalReport.from_json({"samples": [{**SAMPLE, "value": value}], "looks": 1})
    written = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert written["samples"][0]["value"] is None
    assert math.isnan(EvalReport.from_json(written).items["t"][0].value)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"samples": [], "looks": None},
        {"samples": [], "looks": 1.5},
        {"samples": {}, "looks": 1},
        {"samples": "", "looks": 1},
        {"samples": [{"task": "t"}], "looks": 1},
        {"samples": [SAMPLE, SAMPLE], "looks": 1},
    ],
)
def test_a_result_of_another_form_is_refused(result: dict[str, Any]) -> None:
    """An item scored twice included."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        EvalReport.from_json(result)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"value": value} for value in ("good", "1.0", True, [1.0], 10**400)),
        *({"doc_id": number} for number in (101.5, 3.0, "3", True, None, -1)),
        *({name: text} for name in ("task", "doc_hash", "prompt_hash") for text in (None, "", 5)),
        *({"said": said} for said in (5, ["yes"], True)),
    ],
)
def test_nothing_is_read_into_an_item(wrong: dict[str, Any]) -> None:
    """A hash that is null on both sides would pair prompts that nobody compared."""
    with pytest.raises((TypeError, ValueError, OverflowError)):
        EvalReport.from_json({"samples": [{**SAMPLE, **wrong}], "looks": 1})


def test_what_nobody_asked_is_no_item() -> None:
    """Nor is an answer for people where they judge nothing, or a score where they do."""
    found = EvalReport({"t": (Item(3, "d", "p", 1),)}, 1)
    found.check_asked({"t": (1, 3)}, set())
    for asked, by_people in (({"t": (1, 2)}, set()), ({"u": (3,)}, set()), ({"t": (3,)}, {"t"})):
        with pytest.raises(ValueError, match="item 3 of task t"):
            found.check_asked(asked, by_people)
    told = EvalReport({"t": (Item(3, "d", "p", math.nan, "yes"),)}, 1)
    told.check_asked({"t": (3,)}, {"t"})
    with pytest.raises(ValueError, match="item 3 of task t is not for people"):
        told.check_asked({"t": (3,)}, set())


def test_items_pair_on_row_and_prompt() -> None:
    """Absent and changed rows are unmatched; the same row asked otherwise has drifted."""
    before = [Item(0, "a", "p", 1), Item(1, "b", "p", 1), Item(2, "c", "p", 1), Item(3, "d", "p", 1)]
    after = [Item(0, "a", "p", 0), Item(1, "b", "q", 1), Item(2, "x", "q", 1), Item(4, "d", "p", 1)]
    assert pair(before, after) == Pairing(unmatched=(2, 3, 4), drifted=(1,))


@given(item_lists, item_lists)
def test_pairing_does_not_depend_on_sides_or_scores(one: list[Item], other: list[Item]) -> None:
    """Symmetric, blind to scores, and empty for a report against itself."""
    assert pair(one, other) == pair(other, one)
    assert pair(one, one) == Pairing((), ())
    assert pair([Item(i.doc_id, i.doc_hash, i.prompt_hash, 0.5) for i in one], other) == pair(one, other)


def test_looks_add_up_and_an_item_has_one_score() -> None:
    """What another look brings joins what was known; the same item twice is no second opinion."""
    first = EvalReport({"t": (Item(4, "d", "p", 1),)}, 1)
    second = EvalReport({"t": (Item(2, "d", "p", 0),), "u": (Item(0, "d", "p", 1),)}, 1)
    both = first.with_look(second)
    assert [item.doc_id for item in both.items["t"]] == [2, 4]
    assert (len(both.items["u"]), both.looks) == (1, 2)
    with pytest.raises(ValueError, match="task t scored item 2 twice"):
        both.with_look(second)

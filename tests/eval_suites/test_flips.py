"""Flips for people: what was lost first, no more than can be read, with texts where they were kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from eval_suites.flips import MOST_SHOWN, flips_behind, flips_of
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from eval_suites.texts import ItemText, read_texts
from tests.simulators.evaluation import SEED, judged, report

ALL = range(600)


def right(*items: range) -> dict[str, set[int]]:
    """These items of ``choose`` answered right, and all of ``write``."""
    return {"choose": {n for some in items for n in some}, "write": {*ALL}}


def test_what_was_lost_comes_first(facts: Suite) -> None:
    """Then what was gained; each with both scores."""
    baseline, candidate = report(facts, right(range(100))), report(facts, right(range(3, 102)))
    found = flips_of(facts.tasks[0].spec, "source", ALL, baseline, candidate)
    assert (found.lost, found.gained, found.left_out) == (3, 2, 0)
    assert [(flip.doc_id, flip.before, flip.after) for flip in found.shown] == [
        *((n, 1.0, 0.0) for n in range(3)),
        *((n, 0.0, 1.0) for n in (100, 101)),
    ]


def test_what_is_lost_is_what_got_worse(choosing: Callable[..., Suite]) -> None:
    """Of a score that is good when it is small, a larger one."""
    suite = choosing(higher_is_better=False, chance=0.75)
    baseline, candidate = report(suite, right(range(2))), report(suite, right(range(1, 5)))
    found = flips_of(suite.tasks[0].spec, "source", ALL, baseline, candidate)
    assert (found.lost, found.gained) == (3, 1)
    assert (found.shown[0].doc_id, found.shown[0].lost) == (2, True)


def test_many_flips_are_counted_and_not_all_shown(facts: Suite) -> None:
    """A page is to be read."""
    found = flips_of(facts.tasks[0].spec, "source", ALL, report(facts, right(ALL)), report(facts, right()))
    assert (found.lost, len(found.shown), found.left_out) == (600, MOST_SHOWN, 550)


def test_flips_are_those_the_verdict_counts(facts: Suite) -> None:
    """Of the items up to the look that decided, task by task; a task without any is not there."""
    baseline, candidate = report(facts, right(ALL)), report(facts, right(range(300)))
    verdict = judged(facts, candidate, {"source": baseline})
    (found,) = flips_behind(facts, verdict, plan_of(facts, SEED), candidate, {"source": baseline})
    assert (found.task, found.baseline) == ("choose", "source")
    assert f"{found.lost + found.gained} flips" in verdict.findings[0].message
    assert found.lost < 300


def test_a_broken_measurement_has_no_flips(facts: Suite) -> None:
    """Other prompts are other questions."""
    baseline, candidate = report(facts, right(ALL)), report(facts, right(), template="x")
    verdict = judged(facts, candidate, {"source": baseline})
    assert flips_behind(facts, verdict, plan_of(facts, SEED), candidate, {"source": baseline}) == []


def test_texts_join_where_they_were_kept(facts: Suite) -> None:
    """One side may have none: it was evaluated before texts were kept."""
    found = flips_of(
        facts.tasks[0].spec, "source", ALL, report(facts, right(range(1))), report(facts, right())
    )
    (flip,) = found.with_texts({}, {("choose", 0): ItemText("Q", "A")}).shown
    assert (flip.baseline, flip.candidate) == (None, ItemText("Q", "A"))


@pytest.mark.parametrize(
    "damage", [b"", b"no gzip", gzip.compress(b"[1]", mtime=0), gzip.compress(b"{}", mtime=0)[:-9]]
)
def test_a_damaged_file_of_texts_has_none(damage: bytes) -> None:
    """A cache may be damaged; the page says that they are not there."""
    assert read_texts(damage, [("choose", 0)]) == {}


def test_reports_without_texts_are_still_read(facts: Suite) -> None:
    """What was kept before there were any; what is kept now comes back, look by look."""
    old = report(facts, right(ALL)).to_json()
    del old["texts"]
    assert EvalReport.from_json(old).texts == ()
    new = {**old, "texts": ["sha256:" + "a" * 64, "sha256:" + "b" * 64]}
    assert json.loads(json.dumps(EvalReport.from_json(new).to_json()))["texts"] == new["texts"]

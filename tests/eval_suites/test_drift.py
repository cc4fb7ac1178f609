"""Prompts that drifted apart: the first of them is shown, what differs and no more than people can read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval_suites.drift import drift_of, first_drifted
from eval_suites.gate_report import to_markdown
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.suite import Suite
from tests.simulators.evaluation import SEED, judged, report

ALL = {"choose": set(range(570)), "write": set(range(570))}
CHATML = "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
PLACE = ("choose", 0)


def words(before: str, after: str) -> str:
    """The drift on one line."""
    found = drift_of("source", PLACE, before, after)
    return "".join(piece.words for piece in found.pieces) if found else ""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Be kind. Who?", "Be brief. Who?", "Be[- kind-]{+ brief+}. Who?"),
        ("User: Who?", "User: Who?\nBot:", r"User: Who?{+\nBot:+}"),
        ("<s> Who?", "Who?", "[-<s> Who-]{+Who+}?"),
        ("a\x1b[2J\u202eb", "ab", r"[-a\x1b[2J\u202eb-]{+ab+}"),
        ("same", "same", ""),
    ],
)
def test_what_differs_stands_in_its_place(before: str, after: str, said: str) -> None:
    """Word by word, on one line; what steers a terminal is spelt out; the same texts tell nothing."""
    assert words(before, after) == said


def test_a_template_that_lost_its_system_prompt_is_seen_at_once() -> None:
    """With a little of what is beside it, and nothing of the long rest."""
    asked = CHATML + "shots " * 300 + "Who?"
    said = words(asked, asked.replace("You are helpful.", "You are a pirate."))
    assert r"<|im_start|>system\nYou are[- helpful-]{+ a pirate+}.<|im_end|>" in said
    assert said.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert len(said) < 250


def test_prompts_that_have_nothing_in_common_are_cut() -> None:
    """A page and a terminal show how each begins."""
    said = words("a " * 2000, "b " * 2000)
    assert said.startswith("[-a a a")
    assert len(said) < 500
    mixed = words(" ".join(f"x{n} y" for n in range(99)), " ".join(f"z{n} y" for n in range(99)))
    assert mixed.count("{+") == 6


def test_the_finding_of_the_first_drifted_prompt_tells_it(facts: Suite) -> None:
    """That of the baseline and the task it was found in, and no other; the report stays a table."""
    plan, source = plan_of(facts, SEED), report(facts, ALL)
    candidate = report(facts, ALL, template="chatml")
    candidate = EvalReport({**candidate.items, "choose": source.items["choose"]}, candidate.looks)
    verdict = judged(facts, candidate, {"source": source})
    place = ("write", 0)
    assert first_drifted(verdict, plan, candidate, {"source": source}) == ("source", place)
    drift = drift_of("source", place, "<s>Who|", "Who|")
    assert drift
    told = drift.told(verdict)
    first, second = told.findings
    assert first == verdict.findings[0]
    assert second.message.endswith("; item 0 from source to candidate: [-<s>-]Who|")
    assert r"[-&lt;s>-]Who\|" in to_markdown(facts, told)


def test_other_errors_have_no_drift(facts: Suite) -> None:
    """Rows that differ, items without a score, and a pass."""
    source = report(facts, ALL)
    gap = replace(source, items={**source.items, "choose": source.items["choose"][1:]})
    for candidate in (report(facts, ALL, rows="others"), gap, source):
        verdict = judged(facts, candidate, {"source": source})
        assert first_drifted(verdict, plan_of(facts, SEED), candidate, {"source": source}) is None

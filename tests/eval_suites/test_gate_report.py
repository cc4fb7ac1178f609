"""The gate's report answers first, and its table is one a Markdown reader can draw."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eval_suites.gate_report import to_markdown
from eval_suites.suite import Suite
from judging.verdict import Verdict
from tests.simulators.evaluation import judged, report


def right(choose: int, write: int) -> dict[str, set[int]]:
    """The first so many items of each task answered right."""
    return {"choose": set(range(choose)), "write": set(range(write))}


def table(text: str) -> list[list[str]]:
    """The cells of the report's table, head and rule left out."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def test_a_pass_reads_as_one(facts: Suite) -> None:
    """Answer, suite, one row per task with both values, difference, margin, bounds and flips."""
    verdict = judged(facts, report(facts, right(568, 570)), {"source": report(facts, right(570, 570))})
    text = to_markdown(facts, verdict)
    assert text.startswith("# Quality gate: pass\n\nPassed: no task lost more than its margin.\n")
    assert f"Suite `facts` ({facts.digest.short}): Closed-book \\| facts." in text
    assert "one-sided 95 % lower bound" in text
    first, second = table(text)
    assert first[:7] == ["choose", "source", "**pass**", "96.00 %", "96.00 %", "+0.00", "3"]
    assert first[7].startswith("96.00 % after 96.00 %, +0.00 points; one-sided 95 % bounds -1.90 and +1.90")
    assert second[:7] == ["write", "source", "**pass**", "93.33 %", "93.33 %", "+0.00", "3"]


@pytest.mark.parametrize(
    ("answered", "how", "said"),
    [
        (
            right(400, 570),
            {},
            "Failed: the candidate is measurably worse than its margin allows.\nNext: use a",
        ),
        (
            right(555, 570),
            {},
            "whether the candidate is good enough.\nNext: give the gate more to judge by; its",
        ),
        (right(570, 570), {"template": "x"}, "Error: the measurement itself is broken, so the candidate was"),
        (right(570, 570), {"rows": "x"}, "Next: run again; what was measured well is reused."),
    ],
)
def test_every_other_answer_says_what_to_do(
    facts: Suite, answered: dict[str, set[int]], how: dict[str, str], said: str
) -> None:
    """In the first lines, before any table."""
    candidate = report(facts, answered, **how)
    text = to_markdown(facts, judged(facts, candidate, {"source": report(facts, right(570, 570))}))
    assert said in text
    assert text.index(said) < text.index("| Task |")
    assert all(len(cells) == 8 for cells in table(text))


def test_items_asked_are_told_beside_those_it_took(facts: Suite) -> None:
    """A task that is decided is asked on while another one is not."""
    verdict = judged(facts, report(facts, right(570, 570)), {"source": report(facts, right(570, 570))})
    text = to_markdown(facts, verdict, asked={"choose": 300, "write": 200})
    assert "Items asked: choose 300, write 200." in text
    assert "Items asked" not in to_markdown(facts, verdict)


def test_what_was_not_compared_leaves_its_cells_empty(facts: Suite) -> None:
    """Without a baseline there is no difference to show."""
    text = to_markdown(facts, judged(facts, report(facts, right(500, 500)), {}))
    cells = table(text)[0]
    assert cells[:7] == ["choose", "-", "**pass**", "-", "83.33 %", "-", "-"]
    assert "nothing was compared" in cells[7]


def test_a_floor_stands_apart_and_a_direction_is_said(choosing: Callable[..., Suite]) -> None:
    """A row of its own for the floor; the margin is shown without a sign, and which way is better."""
    suite = choosing(higher_is_better=False, chance=0.75, floor=0.5)
    answered = report(suite, {"choose": set(range(60))})
    text = to_markdown(suite, judged(suite, answered, {"source": answered}))
    compared, floor = table(text)
    assert compared[:7] == [
        "choose (less is better)",
        "source",
        "**pass**",
        "10.00 %",
        "10.00 %",
        "+0.00",
        "3",
    ]
    assert floor[:3] == ["choose (less is better)", "its floor", "**pass**"]
    assert floor[3:7] == ["-", "9.00 %", "-", "floor 50.00 %"]
    assert "it is better than the floor of 50.00 %" in floor[7]


def test_a_verdict_read_back_gives_the_same_report(facts: Suite) -> None:
    """The report can be written again from evidence alone."""
    verdict = judged(facts, report(facts, right(500, 570)), {"source": report(facts, right(570, 570))})
    assert to_markdown(facts, Verdict.from_json(verdict.to_json())) == to_markdown(facts, verdict)

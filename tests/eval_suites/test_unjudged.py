"""People are asked for what the gate needs to go on, and for nothing else; then it judges as ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from eval_suites.gate import is_decided
from eval_suites.gate_report import to_markdown
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport
from eval_suites.reviews import Reviews
from eval_suites.suite import Suite
from eval_suites.unjudged import sheet_of
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from tests.simulators.evaluation import SEED, judged
from tests.simulators.reviews import PROMPTS, answered, reviewed_suite, reviews_of


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A task that is judged by verdicts, in three looks of about a hundred prompts."""
    return reviewed_suite(tmp_path)


def good(answer: str) -> float:
    """People like every answer that does not say it is bad."""
    return float("bad" not in answer)


def bad_every(step: int) -> Callable[[int], str]:
    """A model whose every so many answers are bad; its other answers are everybody's."""
    return lambda n: f"bad {n}" if n % step == 0 else f"answer {n}"


def gate(
    suite: Suite, said: Reviews, candidate: EvalReport, baselines: Mapping[str, EvalReport]
) -> tuple[Verdict, list[dict[str, object]]]:
    """The verdict with these reviews, and the sheet that it leaves."""
    after = said.applied(suite, candidate)
    before = {name: said.applied(suite, found) for name, found in baselines.items()}
    verdict = judged(suite, after, before)
    return verdict, sheet_of(suite, plan_of(suite, SEED), SEED, verdict, after, before)


def until(suite: Suite, looks: int, found: EvalReport) -> EvalReport:
    """What a report had after so many looks."""
    asked = plan_of(suite, SEED).asked("opinions", looks)
    return EvalReport({"opinions": tuple(sorted(found.of("opinions", asked)))}, looks)


def test_nobody_has_judged_anything_yet(suite: Suite) -> None:
    """The first look's answers are wanted, of both sides, each once; asking the model more helps nothing."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(20), looks=1)
    verdict, sheet = gate(suite, Reviews(), candidate, {"source": source})
    (finding,) = verdict.findings
    assert (finding.name, finding.outcome) == ("review/opinions", Outcome.INCONCLUSIVE)
    assert finding.failure_class is FailureClass.CONFIG
    assert is_decided(verdict)
    first = plan_of(suite, SEED).asked("opinions", 1)
    said = {(f"A question {n}", report) for n in first for report in (bad_every(50)(n), bad_every(20)(n))}
    assert {(line["prompt"], line["answer"]) for line in sheet} == said
    assert len(sheet) == len(said)
    assert f"people have to judge {len(said)} answers first" in finding.message
    shown = to_markdown(suite, verdict)
    assert "Next: let people judge the answers in review.jsonl" in shown
    assert (
        f"| opinions | its reviews | **inconclusive** | - | - | - | - | people have to judge {len(said)}"
        in shown
    )


def test_a_sheet_does_not_tell_which_model_said_what(suite: Suite) -> None:
    """Candidate and source exchanged, it is the same sheet; another seed draws another order."""
    one, other = answered(suite, bad_every(3), looks=1), answered(suite, bad_every(2), looks=1)
    verdict, sheet = gate(suite, Reviews(), one, {"source": other})
    assert gate(suite, Reviews(), other, {"source": one})[1] == sheet
    assert all(set(line) == {"prompt", "answer", "verdict"} and line["verdict"] is None for line in sheet)
    drawn = sheet_of(suite, plan_of(suite, SEED), 1, verdict, one, {"source": other})
    assert drawn != sheet
    assert sorted(map(str, drawn)) == sorted(map(str, sheet))


def test_a_look_that_decides_needs_no_other(suite: Suite) -> None:
    """The rest may have been asked by then; nobody has to judge it."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(50))
    said = reviews_of(suite, [until(suite, 1, source)], good)
    verdict, sheet = gate(suite, said, candidate, {"source": source})
    assert (verdict.outcome, sheet) == (Outcome.PASS, [])
    assert "in 100 of 300 items" in verdict.findings[0].message


def test_a_look_that_does_not_decide_wants_the_next(suite: Suite) -> None:
    """What was seen so far is told, too; when all is judged the answer is final."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(17))
    both = [source, candidate]
    said = reviews_of(suite, [until(suite, 1, found) for found in both], good)
    verdict, sheet = gate(suite, said, candidate, {"source": source})
    assert [finding.name for finding in verdict.findings] == ["source/opinions", "review/opinions"]
    second = set(plan_of(suite, SEED).looks[1]["opinions"])
    assert {line["prompt"] for line in sheet} == {f"A question {n}" for n in second}
    verdict, sheet = gate(suite, reviews_of(suite, both, good), candidate, {"source": source})
    assert sheet == []
    assert "review/opinions" not in [finding.name for finding in verdict.findings]


def test_a_look_that_is_half_judged_counts_for_nothing(suite: Suite) -> None:
    """Who fills in only what they like would choose the items."""
    source = answered(suite, bad_every(50), looks=1)
    said = reviews_of(suite, [source], good)
    half = Reviews(dict(list(said.scores.items())[:-1]))
    verdict, sheet = gate(suite, half, source, {"source": source})
    assert (verdict.outcome, len(sheet)) == (Outcome.INCONCLUSIVE, 1)


def test_only_the_open_comparison_asks(suite: Suite) -> None:
    """The source's part is settled; production said other things, and those are wanted."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(50))
    production = answered(suite, lambda n: f"other {n}")
    said = reviews_of(suite, [until(suite, 1, source)], good)
    verdict, sheet = gate(suite, said, candidate, {"source": source, "production": production})
    assert verdict.findings[0].outcome is Outcome.PASS
    assert all(str(line["answer"]).startswith("other") for line in sheet)
    assert len(sheet) == len(plan_of(suite, SEED).asked("opinions", 1))


def test_a_worse_candidate_fails(suite: Suite) -> None:
    """By what people said of both."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(4))
    said = reviews_of(suite, [source, candidate], good)
    assert gate(suite, said, candidate, {"source": source})[0].outcome is Outcome.FAIL


def test_of_edits_less_is_better(tmp_path: Path) -> None:
    """Shares of answers are graded scores, and a rise beyond the margin fails."""
    suite = reviewed_suite(tmp_path, metric="edit_rate")
    source, candidate = answered(suite, lambda n: f"answer {n}"), answered(suite, lambda n: f"bad {n}")
    said = reviews_of(suite, [source, candidate], lambda answer: 0.4 if "bad" in answer else 0.1)
    verdict, _ = gate(suite, said, candidate, {"source": source})
    assert verdict.outcome is Outcome.FAIL
    assert "40.00 % after 10.00 %, +30.00 points, where less is better" in verdict.findings[0].message
    verdict, sheet = gate(suite, Reviews(), candidate, {"source": source})
    assert {key for line in sheet for key in line} == {"prompt", "answer", "edit_rate"}


def test_a_broken_measurement_asks_nobody(suite: Suite) -> None:
    """People's time would be lost: the prompts drifted, or an answer is missing."""
    source = answered(suite, bad_every(50))
    drifted = answered(suite, bad_every(50), template="other")
    verdict, sheet = gate(suite, Reviews(), drifted, {"source": source})
    assert (verdict.outcome, sheet) == (Outcome.ERROR, [])
    short = EvalReport({"opinions": source.items["opinions"][1:]}, source.looks)
    verdict, sheet = gate(suite, Reviews(), short, {"source": source})
    assert (verdict.outcome, sheet) == (Outcome.ERROR, [])


def test_without_a_baseline_everything_is_judged_at_once(suite: Suite) -> None:
    """There is nothing to stop early for."""
    candidate = answered(suite, bad_every(50))
    verdict, sheet = gate(suite, Reviews(), candidate, {})
    assert (len(verdict.findings), len(sheet)) == (1, PROMPTS)
    assert gate(suite, reviews_of(suite, [candidate], good), candidate, {})[0].passed


def test_a_floor_wants_its_answers_too(tmp_path: Path) -> None:
    """The comparison is settled by one look, and the floor is not yet."""
    suite = reviewed_suite(tmp_path, floor=0.96)
    same = answered(suite, bad_every(50))
    said = reviews_of(suite, [until(suite, 1, same)], good)
    verdict, sheet = gate(suite, said, same, {"source": same})
    outcomes = {finding.name: finding.outcome for finding in verdict.findings}
    assert outcomes == {
        "source/opinions": Outcome.PASS,
        "floor/opinions": Outcome.INCONCLUSIVE,
        "review/opinions": Outcome.INCONCLUSIVE,
    }
    assert sheet


def test_a_baseline_that_people_do_not_like_is_asked_on(suite: Suite) -> None:
    """One look cannot tell that it knows more than the margin; all may, and else the suite is at fault."""
    weak = answered(suite, lambda n: f"answer {n}" if n % 12 == 0 else f"bad {n}")
    one_look = reviews_of(suite, [until(suite, 1, weak)], good)
    verdict, sheet = gate(suite, one_look, weak, {"source": weak})
    assert "so a model that knows nothing would pass" in verdict.findings[0].message
    assert verdict.findings[0].failure_class is None
    assert sheet
    hopeless = answered(suite, lambda n: f"bad {n}")
    verdict, sheet = gate(suite, reviews_of(suite, [hopeless], good), hopeless, {"source": hopeless})
    assert verdict.findings[0].failure_class is FailureClass.CONFIG
    assert sheet == []


def test_a_candidate_that_failed_asks_nobody(suite: Suite) -> None:
    """Whatever people said, it would stay a no."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(20))
    verdict, sheet = gate(suite, Reviews(), candidate, {"source": source})
    assert sheet
    no = Finding(name="source/choose", outcome=Outcome.FAIL, message="", failure_class=FailureClass.MODEL)
    failed = Verdict.of([*verdict.findings, no])
    assert sheet_of(suite, plan_of(suite, SEED), SEED, failed, candidate, {"source": source}) == []


def test_what_waits_for_people_holds_up_no_other_task(suite: Suite) -> None:
    """More items may settle the other one; then people are asked."""
    source, candidate = answered(suite, bad_every(50)), answered(suite, bad_every(20))
    waiting, _ = gate(suite, Reviews(), candidate, {"source": source})
    other = Finding(name="source/choose", outcome=Outcome.INCONCLUSIVE, message="")
    assert not is_decided(Verdict.of([*waiting.findings, other]))
    assert is_decided(Verdict.of([*waiting.findings, replace(other, outcome=Outcome.PASS)]))
    assert is_decided(Verdict.of([*waiting.findings, replace(other, failure_class=FailureClass.CONFIG)]))

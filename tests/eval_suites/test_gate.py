"""The gate passes what lost nothing, fails what lost too much, and never mistakes a broken run for either."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites import gate
from eval_suites.gate import is_decided
from eval_suites.plan import plan_of
from eval_suites.report import EvalReport, Item
from eval_suites.suite import Suite
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from tests.simulators.evaluation import SEED, judged, report

ALL = frozenset(range(600))


def is_complete(suite: Suite, found: EvalReport) -> bool:
    return gate.is_complete(suite, plan_of(suite, SEED), found)


def right(choose: int, write: int | None = None) -> dict[str, set[int]]:
    """The first so many items of each task answered right."""
    return {"choose": set(range(choose)), "write": set(range(choose if write is None else write))}


def only(verdict: Verdict, name: str) -> Finding:
    """The one finding of this name."""
    (found,) = [finding for finding in verdict.findings if finding.name == name]
    return found


def altered(source: EvalReport, task: str, items: tuple[Item, ...]) -> EvalReport:
    """A report with other items for one task."""
    return EvalReport({**source.items, task: items}, source.looks)


def test_a_candidate_that_answers_like_its_baselines_passes(facts: Suite) -> None:
    """A finding per baseline and task, each with both values, the bound and the flips."""
    source, production = report(facts, right(570)), report(facts, right(560))
    verdict = judged(facts, report(facts, right(568)), {"source": source, "production": production})
    assert verdict.passed
    assert [finding.name for finding in verdict.findings] == [
        "source/choose",
        "production/choose",
        "source/write",
        "production/write",
    ]
    found = only(verdict, "source/choose")
    assert (found.baseline, found.candidate, found.bound) == (288 / 300, 288 / 300, -0.03)
    assert found.message == (
        "choose against source: 96.00 % after 96.00 %, +0.00 points; one-sided 95 % bounds -1.90 and +1.90;"
        " 0 flips (0 lost, 0 gained) in 300 of 600 items; the loss is within the margin of 3 points"
    )


def test_a_loss_beyond_the_margin_in_one_task_fails_the_release(facts: Suite) -> None:
    """Every task has to hold; the failure is the model's."""
    verdict = judged(facts, report(facts, right(570, 500)), {"source": report(facts, right(570))})
    assert verdict.outcome is Outcome.FAIL
    assert verdict.failure_class is FailureClass.MODEL
    assert only(verdict, "source/choose").outcome is Outcome.PASS
    assert verdict.reasons() == [only(verdict, "source/write").message]
    assert "20 flips (20 lost, 0 gained) in 200 of 600 items" in verdict.reasons()[0]


def test_gains_elsewhere_do_not_pay_for_losses(facts: Suite) -> None:
    """The tasks are not averaged."""
    verdict = judged(facts, report(facts, right(600, 500)), {"source": report(facts, right(500, 600))})
    assert verdict.outcome is Outcome.FAIL


def test_every_baseline_has_to_hold(facts: Suite) -> None:
    """As good as its source and worse than production is still worse."""
    baselines = {"source": report(facts, right(500)), "production": report(facts, right(590))}
    verdict = judged(facts, report(facts, right(500)), baselines)
    assert only(verdict, "source/choose").outcome is Outcome.PASS
    assert only(verdict, "production/choose").outcome is Outcome.FAIL
    assert verdict.outcome is Outcome.FAIL


def test_a_loss_near_the_margin_is_inconclusive_and_says_what_is_missing(facts: Suite) -> None:
    """15 of 600 lost is 2.5 points: neither proven harmless nor proven harm."""
    verdict = judged(facts, report(facts, right(555, 570)), {"source": report(facts, right(570))})
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.failure_class is None
    assert "too few items to place the loss on one side" in verdict.reasons()[0]
    assert "items would, at these rates" in verdict.reasons()[0]


def test_a_drifted_prompt_is_the_specs_fault_not_the_models(facts: Suite) -> None:
    """Another chat template makes the answers incomparable, however they differ."""
    candidate = report(facts, right(0), template="chatml")
    verdict = judged(facts, candidate, {"source": report(facts, right(570))})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, FailureClass.CONFIG)
    assert (
        "600 prompts differ, first that of item 0: the chat template or tokenizer drifted"
        in (verdict.reasons()[0])
    )


def test_a_single_drifted_prompt_is_enough(facts: Suite) -> None:
    """Drift in one item is drift: the one that shows may be the one with the accent."""
    source = report(facts, right(570))
    first, *rest = source.items["choose"]
    candidate = altered(source, "choose", (replace(first, prompt_hash="other"), *rest))
    found = only(judged(facts, candidate, {"source": source}), "source/choose")
    assert (found.outcome, found.failure_class) == (Outcome.ERROR, FailureClass.CONFIG)


def test_another_set_of_items_is_an_infrastructure_error(facts: Suite) -> None:
    """Rows that changed between the two runs cannot be paired."""
    verdict = judged(facts, report(facts, right(570), rows="new"), {"source": report(facts, right(570))})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, FailureClass.INFRA)
    assert "600 items differ between the two runs" in verdict.reasons()[0]


@pytest.mark.parametrize("kept", [0, 599])
def test_fewer_items_than_requested_are_no_pass(facts: Suite, kept: int) -> None:
    """A server that died at the end of a run leaves a short report, not a good model."""
    source = report(facts, right(600))
    candidate = altered(source, "choose", source.items["choose"][:kept])
    verdict = judged(facts, candidate, {"source": source})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, FailureClass.INFRA)
    assert f"only {kept} of 600 requested items were scored in the candidate's run" in verdict.reasons()[0]


def test_only_a_complete_report_is_worth_keeping(facts: Suite) -> None:
    """A short or broken run kept as a stage's result would be found broken for ever."""
    source = report(facts, right(0))
    *rest, last = source.items["choose"]
    assert is_complete(facts, source)
    assert not is_complete(facts, altered(source, "choose", tuple(rest)))
    assert not is_complete(facts, altered(source, "choose", (*rest, replace(last, value=math.nan))))
    assert not is_complete(facts, EvalReport({}))
    assert is_complete(facts, report(facts, right(0), looks=2))


def test_a_short_baseline_is_an_error_too(facts: Suite) -> None:
    """The message names whose run it was."""
    source = report(facts, right(600))
    short = altered(source, "write", source.items["write"][1:])
    verdict = judged(facts, source, {"production": short})
    assert "only 599 of 600 requested items were scored in the run of production" in verdict.reasons()[0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -0.1])
def test_a_score_that_is_no_score_is_an_infrastructure_error(facts: Suite, value: float) -> None:
    """One NaN among 600 scores is enough."""
    source = report(facts, right(600))
    *rest, last = source.items["choose"]
    candidate = altered(source, "choose", (*rest, replace(last, value=value)))
    found = only(judged(facts, candidate, {"source": source}), "candidate/choose")
    assert (found.outcome, found.failure_class) == (Outcome.ERROR, FailureClass.INFRA)
    assert "1 of 600 scores are no number between 0 and 1" in found.message


@pytest.mark.parametrize("answered", [right(150, 0), right(160, 10)])
def test_nothing_against_nothing_is_never_a_pass(facts: Suite, answered: Mapping[str, set[int]]) -> None:
    """A baseline that guesses, or knows less than the margin, cannot show a loss."""
    guesses = report(facts, answered)
    verdict = judged(facts, guesses, {"source": guesses})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.INCONCLUSIVE, FailureClass.CONFIG)
    assert "not clearly above guessing (25.00 %) by more than the margin (3.00 %)" in verdict.reasons()[0]
    assert {finding.outcome for finding in verdict.findings} == {Outcome.INCONCLUSIVE}


def test_without_a_baseline_a_model_that_knows_something_passes_and_says_so(facts: Suite) -> None:
    """The finding admits that nothing was compared."""
    verdict = judged(facts, report(facts, right(400, 30)), {})
    assert verdict.passed
    assert [finding.name for finding in verdict.findings] == ["candidate/choose", "candidate/write"]
    assert all("nothing was compared" in finding.message for finding in verdict.findings)


def test_without_a_baseline_a_model_that_guesses_is_inconclusive(facts: Suite) -> None:
    """A suite nobody can answer proves nothing about the model."""
    verdict = judged(facts, report(facts, right(160, 0)), {})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.INCONCLUSIVE, FailureClass.CONFIG)
    assert "26.67 % of 600 items, not clearly above guessing (25.00 %)" in verdict.reasons()[0]


@settings(max_examples=30)
@given(before=st.integers(400, 600), after=st.integers(400, 600), shift=st.integers(0, 599))
def test_a_verdict_survives_json_and_follows_its_bounds(
    facts: Suite, before: int, after: int, shift: int
) -> None:
    """Whatever was answered: a readable record, and no pass for a loss seen beyond the margin."""
    sides = (set(range(before)), {(item + shift) % 600 for item in range(after)})
    baseline, candidate = (report(facts, {"choose": side, "write": side}) for side in sides)
    verdict = judged(facts, candidate, {"source": baseline})
    assert Verdict.from_json(verdict.to_json()) == verdict
    for found in verdict.findings:
        if found.baseline is not None and found.candidate is not None and verdict.passed:
            assert found.baseline - found.candidate < 0.03


def test_a_clear_case_needs_no_more_looks(facts: Suite) -> None:
    """The judge says so as soon as it can, and says the same when it is shown the rest."""
    source = report(facts, right(570))
    for candidate, outcome in ((right(570), Outcome.PASS), (right(450), Outcome.FAIL)):
        looks = [judged(facts, report(facts, candidate, looks=n), {"source": source}) for n in range(1, 7)]
        first = next(n for n, verdict in enumerate(looks) if is_decided(verdict))
        assert first < 4
        assert {verdict.outcome for verdict in looks[first:]} == {outcome}
        assert all(verdict.outcome is Outcome.INCONCLUSIVE for verdict in looks[:first])
        assert all(verdict == looks[-1] for verdict in looks[first:])


def test_a_baseline_that_was_asked_less_is_compared_as_far_as_it_goes(facts: Suite) -> None:
    """Production may have been let through after two looks."""
    verdict = judged(facts, report(facts, right(570)), {"production": report(facts, right(570), looks=2)})
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert not is_decided(verdict)
    assert "in 200 of 600 items" in verdict.reasons()[0]


def test_what_no_item_can_change_is_decided(facts: Suite) -> None:
    """A broken run, and a baseline that knows nothing: asking on would only cost."""
    guesses = report(facts, right(150, 0))
    assert is_decided(judged(facts, report(facts, right(570), looks=1), {"source": guesses}))
    drifted = report(facts, right(570), looks=1, template="chatml")
    assert is_decided(judged(facts, drifted, {"source": report(facts, right(570))}))


def test_passages_are_judged_as_such(facts: Suite) -> None:
    """A lost passage of 8 items leaves more doubt than 8 items lost by themselves."""
    clusters = tuple(str(item // 8) for item in range(600))
    shared = replace(facts, tasks=(replace(facts.tasks[0], clusters=clusters),))
    alone = replace(facts, tasks=facts.tasks[:1])
    lost = {"choose": ALL - set(range(200, 208))}
    for suite, outcome in ((alone, Outcome.PASS), (shared, Outcome.INCONCLUSIVE)):
        verdict = judged(suite, report(suite, lost), {"source": report(suite, {"choose": set(ALL)})})
        assert verdict.outcome is outcome

"""Candidates that bear the load, are slow, break, refuse, tire or die, with and without a baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites.load_gate import judge_load
from eval_suites.load_report import Death, LoadReport
from eval_suites.load_runs import AGAIN, batching_runs
from judging.unit import Unit
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from tests.simulators.load import LOAD, Behaviour, deaths, report

GOOD = Behaviour()
SLOW = Behaviour(ttft=lambda _step: 900.0)


def judged(candidate: Behaviour, baseline: Behaviour | None = GOOD) -> Verdict:
    sides = [candidate, *([baseline] if baseline else [])]
    return judge_load(LOAD, report(*sides), "source" if baseline else None)


def findings(verdict: Verdict) -> dict[str, Finding]:
    return {finding.name: finding for finding in verdict.findings}


def bad(verdict: Verdict) -> dict[str, tuple[Outcome, FailureClass | None]]:
    return {
        name: (f.outcome, f.failure_class)
        for name, f in findings(verdict).items()
        if f.outcome is not Outcome.PASS
    }


def test_a_candidate_like_its_baseline_passes() -> None:
    """Every objective has its finding, with both values and the bound."""
    verdict = judged(GOOD)
    assert verdict.passed, verdict.reasons()
    assert findings(verdict).keys() == {
        *("1x/ttft_p95", "1x/tpot_p95", "1x/errors", "1x/ttft_p95/ratio", "1x/tpot_p95/ratio"),
        *("2x/goodput", "2x/broken", "3x/broken"),
        *("1x again/ttft_p95", "1x again/tpot_p95", "1x again/errors", "1x again/recovery"),
    }
    first = findings(verdict)["1x/ttft_p95"]
    assert first.bound == 500
    assert first.candidate == pytest.approx(140, rel=0.1)
    assert first.baseline == pytest.approx(140, rel=0.1)


def test_a_candidate_alone_is_judged_by_the_objectives() -> None:
    """Without a baseline there are no ratios to it, and everything else is as before."""
    verdict = judged(GOOD, None)
    assert verdict.passed
    assert not any(name.startswith(("1x/", "2x/")) and name.endswith("ratio") for name in findings(verdict))
    assert all(finding.baseline is None for finding in verdict.findings)


def test_what_has_an_objective_is_judged_and_the_rest_is_reported() -> None:
    """At any of three percentiles, of whole answers too, absolutely and beside the baseline."""
    load = LOAD.model_copy(update={"ttft_p99_ms": 100.0, "e2e_p50_ms": 3000.0, "min_goodput": 0.9})
    verdict = judge_load(load, report(GOOD, GOOD, load=load), "source")
    found = findings(verdict)
    assert {"1x/ttft_p99", "1x/ttft_p99/ratio", "1x/e2e_p50", "1x/e2e_p50/ratio", "1x/missed"} <= found.keys()
    assert not {"1x/ttft_p50", "1x/tpot_p99", "1x/e2e_p95"} & found.keys()
    assert bad(verdict).keys() == {"1x/ttft_p99", "1x again/ttft_p99"}
    assert found["1x/e2e_p50"].bound == 3000


def test_too_many_requests_that_miss_an_objective_fail() -> None:
    """Goodput at the peak, as a share of what was asked."""
    load = LOAD.model_copy(update={"ttft_p95_ms": 150.0, "min_goodput": 0.9})
    seen = report(GOOD, GOOD, load=load)
    trials = [replace(t, ttft=np.where(np.arange(t.ttft.size) % 3, t.ttft, 400.0)) for t in seen.trials]
    verdict = judge_load(load, LoadReport(tuple(trials)), None)
    missed = findings(verdict)["1x/missed"]
    assert (missed.outcome, missed.failure_class) == (Outcome.FAIL, FailureClass.CONFIG)
    assert missed.candidate == pytest.approx(1 / 3, abs=0.05)
    assert missed.bound == pytest.approx(0.1)


def test_a_slow_candidate_beside_a_quick_baseline_is_rejected() -> None:
    """The baseline shows that this machine can do better: the model's fault."""
    found = bad(judged(SLOW))
    assert found["1x/ttft_p95"] == found["1x/ttft_p95/ratio"] == (Outcome.FAIL, FailureClass.MODEL)
    assert found["2x/goodput"] == (Outcome.FAIL, FailureClass.MODEL)


@pytest.mark.parametrize("baseline", [SLOW, None])
def test_an_objective_that_nobody_keeps_is_the_configuration_s_fault(baseline: Behaviour | None) -> None:
    """Other weights would not help: the peak, the objective or the serve configuration has to change."""
    verdict = judged(SLOW, baseline)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.failure_class is FailureClass.CONFIG
    assert bad(verdict).keys() == {"1x/ttft_p95", "1x again/ttft_p95"}


def test_a_candidate_within_the_objectives_but_slower_than_before_is_rejected() -> None:
    """Users of what is live would notice."""
    found = bad(judged(Behaviour(tpot=lambda _step: 40.0)))
    assert found["1x/tpot_p95/ratio"] == (Outcome.FAIL, FailureClass.MODEL)
    assert found.keys() == {"1x/tpot_p95/ratio"}


def test_waiting_and_being_turned_away_at_three_times_the_peak_is_no_failure() -> None:
    """That is how an overload should end."""
    queueing = Behaviour(ttft=lambda step: 20_000.0 if step == "3x" else 100.0, turned_away={"3x": 0.6})
    assert judged(queueing).passed


def test_what_is_said_beside_the_baseline_is_of_the_same_repeat() -> None:
    """Its figures belong to the limit beside them: none is of two medians, which may say something else."""
    seen = report(GOOD, GOOD)
    factors = {"candidate": (1.0, 10.0, 2.0), "source": (1.0, 4.0, 8.0)}
    trials = [replace(t, tpot=np.full(t.tpot.size, factors[t.run.side][t.run.repeat])) for t in seen.trials]
    found = findings(judge_load(LOAD, LoadReport(tuple(trials)), "source"))
    ratio = found["1x/tpot_p95/ratio"]
    assert (ratio.baseline, ratio.candidate, ratio.bound, ratio.unit) == (None, 1.0, 1.25, Unit.TIMES)
    said = "tpot_p95 at 1x beside that of the source in the same repeat: 1 (0.25 to 2.5) times as much in"
    assert ratio.message.startswith(said)
    assert found["1x/tpot_p95"].unit is Unit.MILLISECONDS
    assert (found["1x/errors"].unit, found["2x/goodput"].unit) == (Unit.SHARE, Unit.LOST)


def test_more_goodput_is_no_negative_loss() -> None:
    """A gain is told as one."""
    slower = Behaviour(ttft=lambda step: 480.0 if step == "2x" else 100.0)
    said = findings(judged(GOOD, slower))["2x/goodput"].message
    assert "in the same repeat: of the 20 requests per second" in said
    assert " % more)" in said
    assert "-" not in said
    assert "at most 20 % less is allowed" in said


def test_being_turned_away_at_the_peak_is_a_failure() -> None:
    """The peak was declared to be borne."""
    found = bad(judged(Behaviour(turned_away={"1x": 0.1})))
    assert found == {"1x/errors": (Outcome.FAIL, FailureClass.MODEL)}


def test_breaking_at_three_times_the_peak_is_a_failure() -> None:
    """Degrading is not dying."""
    verdict = judged(Behaviour(broken={"3x": 0.05}))
    assert bad(verdict) == {"3x/broken": (Outcome.FAIL, FailureClass.MODEL)}
    assert "broken at 3x: 5 % (5 % to 5 %), 0 % of the source, at most 1 % is allowed" in verdict.reasons()


def test_a_candidate_that_does_not_recover_is_rejected() -> None:
    """Within the objectives still, and twice as slow as before the overload."""
    tired = Behaviour(
        tpot=lambda step: 40.0 if step == AGAIN else 20.0, ttft=lambda s: 200.0 if s == AGAIN else 100.0
    )
    assert bad(judged(tired)) == {"1x again/recovery": (Outcome.FAIL, FailureClass.MODEL)}
    assert bad(judged(tired, tired)) == {"1x again/recovery": (Outcome.FAIL, FailureClass.CONFIG)}


def test_repeats_on_both_sides_of_a_bound_do_not_decide() -> None:
    """One run of three was over it: neither a yes nor a no."""
    seen = report(GOOD, GOOD)
    one = next(t for t in seen.trials if t.run.side == "candidate" and t.run.step == "1x")
    trials = tuple(replace(t, tpot=t.tpot * 10) if t is one else t for t in seen.trials)
    verdict = judge_load(LOAD, LoadReport(trials), "source")
    assert bad(verdict) == {
        "1x/tpot_p95": (Outcome.INCONCLUSIVE, None),
        "1x/tpot_p95/ratio": (Outcome.INCONCLUSIVE, None),
    }
    assert "the 3 repeats disagree: longer or more runs would tell" in verdict.reasons()[0]


def test_a_candidate_that_answers_nothing_fails_and_leaves_no_infinite_figure() -> None:
    """Its percentiles are beyond any bound, and evidence holds numbers only."""
    verdict = judged(Behaviour(broken=dict.fromkeys(("1x", "2x", "3x", AGAIN), 1.0)))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.failure_class is FailureClass.MODEL
    assert findings(verdict)["1x/ttft_p95"].candidate is None
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_two_sides_that_answer_nothing_cannot_be_compared() -> None:
    """The objectives fail, and their ratio is left open."""
    nothing = Behaviour(broken={"1x": 1.0})
    found = bad(judged(nothing, nothing))
    assert found["1x/errors"] == (Outcome.FAIL, FailureClass.CONFIG)
    assert found["1x/ttft_p95/ratio"] == (Outcome.INCONCLUSIVE, FailureClass.CONFIG)


@pytest.mark.parametrize(
    ("lost", "baseline", "expected"),
    [
        (deaths("candidate", 2), "source", (Outcome.FAIL, FailureClass.MODEL)),
        (deaths("candidate", 2), None, (Outcome.FAIL, FailureClass.CONFIG)),
        (deaths("candidate", 2) + deaths("source", 1), "source", (Outcome.FAIL, FailureClass.CONFIG)),
        (deaths("candidate", 1), "source", (Outcome.INCONCLUSIVE, None)),
        (deaths("candidate", 1), None, (Outcome.INCONCLUSIVE, None)),
        (deaths("candidate", 2, outside=True), "source", (Outcome.ERROR, FailureClass.INFRA)),
        (deaths("source", 2, outside=True), "source", (Outcome.ERROR, FailureClass.INFRA)),
    ],
)
def test_whose_fault_a_lost_server_is(
    lost: tuple[Death, ...], baseline: str | None, expected: tuple[Outcome, FailureClass | None]
) -> None:
    """The candidate's only when it is lost twice, of itself, while its baseline bears the same."""
    seen = report(GOOD, GOOD, deaths=lost)
    assert bad(judge_load(LOAD, seen, baseline)) == {"alive": expected}


def test_a_baseline_that_was_lost_once_and_bore_the_same_then_is_compared_with() -> None:
    """All its runs are there."""
    verdict = judge_load(LOAD, report(GOOD, GOOD, deaths=deaths("source", 1)), "source")
    assert findings(verdict).keys() == findings(judged(GOOD)).keys()


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (GOOD, {}),
        (Behaviour(broken={"3x": 0.05}), {"3x/broken": (Outcome.FAIL, FailureClass.CONFIG)}),
        (
            Behaviour(tpot=lambda _step: 40.0),
            {"1x/tpot_p95/ratio": (Outcome.FAIL, FailureClass.MODEL)},
        ),
    ],
)
def test_a_baseline_that_does_not_bear_it_stands_in_nobody_s_way(
    candidate: Behaviour, expected: dict[str, tuple[Outcome, FailureClass]]
) -> None:
    """Beyond what it bears the candidate is judged alone, and below it beside it as ever."""
    seen = report(candidate, GOOD, deaths=deaths("source", 2))
    kept = tuple(t for t in seen.trials if t.run.side == "candidate" or t.run.step in {"1x", "2x"})
    verdict = judge_load(LOAD, replace(seen, trials=kept), "source")
    assert bad(verdict) == expected
    found = findings(verdict)
    assert found["baseline"].message.startswith(
        "the server of the source stopped answering at 3x; started anew, it stopped answering at 3x; where"
    )
    assert found["2x/goodput"].candidate is not None
    assert found["3x/broken"].baseline is None
    assert found["1x again/recovery"].baseline is None


def test_the_model_s_own_fault_counts_before_what_nobody_keeps() -> None:
    """An objective that its baseline breaks as well does not spare a slower candidate the next recipe."""
    load = LOAD.model_copy(update={"tpot_p95_ms": 10.0})
    verdict = judge_load(load, report(Behaviour(ttft=lambda _step: 300.0), GOOD, load=load), "source")
    found = findings(verdict)
    assert found["1x/tpot_p95"].failure_class is FailureClass.CONFIG
    assert found["1x/ttft_p95/ratio"].failure_class is FailureClass.MODEL
    assert verdict.failure_class is FailureClass.MODEL


def test_a_slow_generator_beside_the_judged_runs_is_no_matter() -> None:
    """What batching gains is judged by nobody."""
    seen = report(GOOD, GOOD)
    shown = [replace(seen.trials[0], run=run, offered=0.1) for run in batching_runs(LOAD)[1:]]
    assert judge_load(LOAD, LoadReport((*seen.trials, *shown)), "source").passed


def test_a_run_that_is_missing_is_an_error() -> None:
    """No data is never a pass."""
    verdict = judge_load(LOAD, LoadReport(report(GOOD, GOOD).trials[:-1]), "source")
    assert bad(verdict) == {"runs": (Outcome.ERROR, FailureClass.INFRA)}


def test_a_load_that_was_not_sent_was_not_borne() -> None:
    """A generator without a core of its own makes every server look good."""
    seen = report(GOOD, GOOD)
    trials = tuple(replace(t, offered=0.5 * t.run.rate) for t in seen.trials)
    verdict = judge_load(LOAD, LoadReport(trials), "source")
    assert bad(verdict) == {"offered": (Outcome.ERROR, FailureClass.INFRA)}
    assert "sent 5 of 10 requests per second at 1x" in verdict.reasons()[0]


@settings(max_examples=30)
@given(factor=st.floats(1, 20), seed=st.integers(0, 1000))
def test_a_slower_candidate_is_never_judged_better(factor: float, seed: int) -> None:
    """Making every answer of the candidate slower turns no finding towards a pass."""
    order = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]
    seen = report(GOOD, GOOD, seed=seed)
    slower = LoadReport(
        tuple(
            replace(t, ttft=t.ttft * factor, tpot=t.tpot * factor, e2e=t.e2e * factor)
            if t.run.side == "candidate"
            else t
            for t in seen.trials
        )
    )
    before, after = (findings(judge_load(LOAD, found, "source")) for found in (seen, slower))
    for name, finding in before.items():
        if name != "1x again/recovery":  # of the candidate to itself, so that it only rounds
            assert order.index(after[name].outcome) >= order.index(finding.outcome), name

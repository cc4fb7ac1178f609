"""The rule book: each transition by name, and laws that hold for any sequence of verdicts and facts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.analysis import unmeasured
from fleet.plan import RolloutPlan
from fleet.rollout import Action, Facts, abort, advance, desired_state, is_final, resume, start_rollout
from fleet.router import ReplicaSpec, Route
from fleet.status import Phase, RolloutStatus
from judging.verdict import FailureClass, Finding, Outcome, Verdict

PLAN = RolloutPlan(
    weights=(10, 50, 100),
    step_seconds=10,
    bake_seconds=20,
    step_timeout_seconds=100,
    prepare_timeout_seconds=50,
    error_limit=2,
)
STABLE = ReplicaSpec("m-v1", ("serve", "{port}"))
CANARY = ReplicaSpec("m-v2", ("serve", "{port}"))


def verdict(outcome: Outcome) -> Verdict:
    failure = FailureClass.MODEL if outcome is Outcome.FAIL else None
    return Verdict.of([Finding(name="x", outcome=outcome, message=f"it is {outcome}", failure_class=failure)])


PASS, FAIL, UNSURE = (verdict(o) for o in (Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE))
BROKEN = unmeasured("no log")


def at(now: float, *, canary: bool = True, stable: bool = True) -> Facts:
    return Facts(now, canary, stable)


def status_in(phase: Phase, **changes: object) -> RolloutStatus:
    started = start_rollout("m", canary=CANARY, stable=STABLE, port=80, now=0.0)
    return replace(started, phase=phase, **changes)  # type: ignore[arg-type]


PROGRESSING = status_in(Phase.PROGRESSING, weight=10)
BAKING = status_in(Phase.BAKING, step=2, weight=100)


def test_preparing_waits_for_both_replicas() -> None:
    """The canary gets its first weight when it and stable answer, not before."""
    preparing, action = advance(status_in(Phase.PENDING), None, at(0), PLAN)
    assert (preparing.phase, action) == (Phase.PREPARING, Action.PREPARE)
    assert advance(preparing, None, at(1, stable=False), PLAN) == (preparing, Action.HOLD)
    assert advance(preparing, None, at(1, canary=False), PLAN) == (preparing, Action.HOLD)
    progressing, action = advance(preparing, None, at(1), PLAN)
    assert (progressing.phase, progressing.weight, action) == (Phase.PROGRESSING, 10, Action.SET_WEIGHT)


@pytest.mark.parametrize(("late", "named"), [({"canary": False}, "m-v2"), ({"stable": False}, "m-v1")])
def test_a_replica_that_never_answers_fails_the_rollout_as_infra(late: dict[str, bool], named: str) -> None:
    """The reason names the replica that kept everybody waiting."""
    failed, action = advance(status_in(Phase.PREPARING), None, at(50, **late), PLAN)
    assert (failed.phase, failed.failure_class, action) == (Phase.FAILED, FailureClass.INFRA, Action.RETIRE)
    assert named in failed.reason


def test_a_pass_counts_only_after_the_least_time_and_with_a_canary_that_answers() -> None:
    """Too early, or without an answering canary, the weight stays."""
    for facts in (at(9), at(11, canary=False)):
        held, action = advance(PROGRESSING, PASS, facts, PLAN)
        assert (held.weight, action) == (10, Action.HOLD)
    raised, action = advance(PROGRESSING, PASS, at(10), PLAN)
    assert (raised.weight, raised.step, action) == (50, 1, Action.SET_WEIGHT)


def test_a_bake_that_passes_long_enough_promotes() -> None:
    """The bake has its own least time; promotion then ends in success and retires the old replica."""
    assert advance(BAKING, PASS, at(19), PLAN)[1] is Action.HOLD
    promoting, action = advance(BAKING, PASS, at(20), PLAN)
    assert (promoting.phase, action) == (Phase.PROMOTING, Action.PROMOTE)
    assert desired_state(promoting).route == Route("m-v2")
    assert len(desired_state(promoting).replicas) == 2
    succeeded, action = advance(promoting, None, at(21), PLAN)
    assert (succeeded.phase, action) == (Phase.SUCCEEDED, Action.RETIRE)
    assert desired_state(succeeded).replicas == (CANARY,)


def test_a_replica_that_dies_while_promoted_is_taken_back() -> None:
    """The old stable is still there, so traffic returns to it after the prepare timeout."""
    promoting = status_in(Phase.PROMOTING, weight=100)
    assert advance(promoting, None, at(49, canary=False), PLAN)[1] is Action.HOLD
    back, action = advance(promoting, None, at(50, canary=False), PLAN)
    assert (back.phase, back.failure_class, action) == (
        Phase.ROLLING_BACK,
        FailureClass.INFRA,
        Action.ROLL_BACK,
    )
    first = replace(promoting, stable=None)
    assert advance(first, None, at(50, canary=False), PLAN)[0].phase is Phase.FAILED


@pytest.mark.parametrize("status", [PROGRESSING, BAKING])
def test_proven_harm_rolls_back_at_once(status: RolloutStatus) -> None:
    """A fail needs no dwell; after the fleet confirmed, the rollout is rolled back."""
    back, action = advance(status, FAIL, at(0.1), PLAN)
    assert (back.phase, back.weight, action) == (Phase.ROLLING_BACK, 0, Action.ROLL_BACK)
    done, action = advance(back, None, at(1), PLAN)
    assert (done.phase, done.failure_class, action) == (
        Phase.ROLLED_BACK,
        FailureClass.MODEL,
        Action.RETIRE,
    )
    assert done.reason == "it is fail"


def test_errors_in_a_row_beyond_the_limit_are_infra_and_one_good_look_forgives() -> None:
    """Two are allowed here; a look that could be judged starts the count again."""
    status = PROGRESSING
    for look in (BROKEN, BROKEN, UNSURE, BROKEN, BROKEN):
        status, action = advance(status, look, at(1), PLAN)
        assert action is Action.HOLD
    back, action = advance(status, BROKEN, at(1), PLAN)
    assert (back.failure_class, action) == (FailureClass.INFRA, Action.ROLL_BACK)
    assert advance(back, None, at(2), PLAN)[0].phase is Phase.FAILED


def test_a_step_without_a_pass_pauses_at_its_weight_and_can_be_resumed() -> None:
    """The pause says what was missing; resuming starts the step's clock again."""
    paused, action = advance(PROGRESSING, UNSURE, at(100), PLAN)
    assert (paused.phase, paused.weight, action) == (Phase.PAUSED, 10, Action.HOLD)
    assert "it is inconclusive" in paused.reason
    assert desired_state(paused).route == Route("m-v1", "m-v2", 10)
    resumed = resume(paused, 500.0)
    assert (resumed.phase, resumed.since) == (Phase.PROGRESSING, 500.0)
    baked, _ = advance(BAKING, UNSURE, at(100), PLAN)
    assert resume(baked, 1.0).phase is Phase.BAKING


def test_time_in_which_nobody_drove_does_not_count() -> None:
    """Neither against a rollout that was interrupted, nor for it; one that is over stays as it ended."""
    resumed = resume(PROGRESSING, 500.0)
    assert resumed == replace(PROGRESSING, since=500.0)
    assert advance(resumed, UNSURE, at(501), PLAN)[0].phase is Phase.PROGRESSING
    over = status_in(Phase.SUCCEEDED, weight=100)
    assert resume(over, 500.0) == over


def test_a_rollout_given_up_leaves_nothing_on_the_canary() -> None:
    """Whatever it had; one that is over stays as it ended."""
    given_up = abort(BAKING, 5.0, "the fleet was taken down")
    assert (given_up.phase, desired_state(given_up).route) == (Phase.FAILED, Route("m-v1"))
    over = status_in(Phase.SUCCEEDED, weight=100)
    assert abort(over, 5.0, "too late") == over


def test_proof_is_asked_for_while_stable_is_still_there_to_compare_with() -> None:
    """The last shared weight and the bake are final, the weights before are not."""
    assert not is_final(PROGRESSING, PLAN)
    assert is_final(replace(PROGRESSING, step=1), PLAN)
    assert is_final(BAKING, PLAN)


looks = st.tuples(
    st.sampled_from([None, PASS, PASS, PASS, FAIL, UNSURE, BROKEN]),
    st.floats(0, 40),
    st.booleans() | st.just(True),
    st.booleans() | st.just(True),
)


@settings(max_examples=300)
@given(st.lists(looks, max_size=40), st.booleans())
def test_laws_of_every_rollout(sequence: list[tuple[Verdict | None, float, bool, bool]], first: bool) -> None:
    """Weights rise only on a pass, fails send all back, ends stay, and every state survives JSON."""
    stable = None if first else STABLE
    status = start_rollout("m", canary=CANARY, stable=stable, port=80, now=0.0)
    now = 0.0
    for look, seconds, canary, stable_ready in sequence:
        now += seconds
        after, action = advance(status, look, Facts(now, canary, stable_ready), PLAN)
        assert RolloutStatus.from_json(json.loads(json.dumps(after.to_json()))) == after
        _check_step(status, look, after, action, first=first)
        status = after


def _check_step(
    before: RolloutStatus, look: Verdict | None, after: RolloutStatus, action: Action, *, first: bool
) -> None:
    if before.phase.is_terminal:
        assert after == before
    if after.weight > before.weight and before.phase is not Phase.PREPARING:
        assert look is not None
        assert look.passed
    if before.phase.is_judged and look is FAIL:
        assert after.phase is Phase.ROLLING_BACK
        assert desired_state(after).route == Route("m-v1")
    if after.phase is Phase.PROMOTING and before.phase is not Phase.PROMOTING:
        assert first or (before.phase is Phase.BAKING and look is PASS)
    if after.phase in {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED}:
        assert after.weight == desired_state(after).route.canary_weight == 0
    if action is Action.HOLD:
        assert desired_state(after) == desired_state(before)

"""The rule book of a rollout: what follows from a status, a verdict and the facts. Pure, no I/O, no clock.

``advance`` is called when the fleet has confirmed the desired state of the present status; the caller
saves the new status, applies ``desired_state`` of it, and calls again. The transitions:

- pending -> preparing: the canary's replica is started, without traffic.
- preparing -> progressing at the first weight, once canary and stable answer; without a stable (the first
  release) -> promoting; not ready in ``prepare_timeout_seconds`` -> failed (infra), the canary is retired.
- progressing -> the next weight on a pass after ``step_seconds``; at 100 % -> baking.
- baking -> promoting on a pass after ``bake_seconds``.
- progressing, baking -> rolling_back on a fail (model), or on more than ``error_limit`` verdicts of error
  in a row (infra); -> paused when ``step_timeout_seconds`` went by without a pass. A pause holds the weight
  it has: nothing was proven against the canary, and moving users twice is harm of its own.
- paused -> progressing or baking by ``resume`` (promote again), with all evidence kept. A rollout that was
  interrupted is taken up by it too: its phase stays, the phase's clock starts anew.
- promoting -> succeeded once the promoted replica answers behind the stable pointer; the old one is then
  retired. Not ready in ``prepare_timeout_seconds`` -> rolling_back (infra), or failed without a stable.
- rolling_back -> rolled_back (model) or failed (infra), once all traffic is confirmed on stable.
- succeeded, rolled_back, failed: the end.

A weight never rises without a pass, and never while the canary does not answer. Left to others: starting
and stopping (the fleet), reading logs (the driver), what a pass is (``fleet/analysis.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from fleet.plan import RolloutPlan
from fleet.router import DesiredState, ReplicaSpec, Route
from fleet.status import Move, Phase, RolloutStatus
from judging.verdict import FailureClass, Outcome, Verdict


class Action(StrEnum):
    """What the fleet is asked to do next; everything but hold changes its desired state."""

    HOLD = "hold"
    PREPARE = "prepare"
    SET_WEIGHT = "set_weight"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    RETIRE = "retire"


@dataclass(frozen=True)
class Facts:
    """What is known beside the verdict: the time in seconds since the epoch, and who answers."""

    now: float
    canary_ready: bool
    stable_ready: bool


_Next = tuple[RolloutStatus, Action]


def start_rollout(
    name: str, *, canary: ReplicaSpec, stable: ReplicaSpec | None, port: int, now: float
) -> RolloutStatus:
    """A new rollout in phase pending; to what is stable already, one that has succeeded: nobody is moved."""
    status = RolloutStatus(name=name, canary=canary, stable=stable, port=port, since=now)
    if stable is None or stable.revision != canary.revision:
        return status
    reason = f"{canary.revision} is stable already"
    return _entered(replace(status, stable=None), Phase.SUCCEEDED, 100, now, reason)


def advance(status: RolloutStatus, verdict: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    """The next status and what it asks of the fleet; the module's docstring lists the transitions."""
    return _RULES[status.phase](status, verdict, facts, plan)


def resume(status: RolloutStatus, now: float) -> RolloutStatus:
    """An unfinished rollout goes on where it was, a paused one at its weight; its clocks start anew.

    Time in which nobody drove it counts neither as waiting nor as watching.
    """
    if status.phase.is_terminal:
        return status
    if status.phase is not Phase.PAUSED:
        return replace(status, since=now)
    phase = Phase.BAKING if status.weight == 100 else Phase.PROGRESSING
    return _entered(replace(status, judge_errors=0), phase, status.weight, now, "resumed")


def abort(status: RolloutStatus, now: float, reason: str) -> RolloutStatus:
    """An unfinished rollout given up by a person, nothing on the canary; one that is over is unchanged."""
    if status.phase.is_terminal:
        return status
    return _ended(status, Phase.FAILED, now, reason, None)


def is_final(status: RolloutStatus, plan: RolloutPlan) -> bool:
    """Whether the next move needs proof: from the last shared weight to 100 %, and out of the bake."""
    return status.phase is Phase.BAKING or status.step >= len(plan.weights) - 2


def desired_state(status: RolloutStatus) -> DesiredState:
    """The replicas and the route that belong to a status."""
    old, new = status.stable, status.canary
    old_name = old.revision if old else None
    if status.phase in {Phase.PROMOTING, Phase.SUCCEEDED}:
        route = Route(new.revision)
    elif status.weight:
        route = Route(old_name, new.revision, status.weight)
    else:
        route = Route(old_name)
    wanted: tuple[ReplicaSpec | None, ...] = (old, new)
    if status.phase is Phase.SUCCEEDED:
        wanted = (new,)
    elif status.phase in {Phase.PENDING, Phase.ROLLED_BACK, Phase.FAILED}:
        wanted = (old,)
    return DesiredState(status.port, tuple(spec for spec in wanted if spec), route)


def _pending(status: RolloutStatus, _: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    reason = f"starting {status.canary.revision}"
    return _entered(status, Phase.PREPARING, 0, facts.now, reason), Action.PREPARE


def _preparing(status: RolloutStatus, _: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    if facts.canary_ready and status.stable is None:
        reason = "the first release: nothing to compare it with"
        return _entered(status, Phase.PROMOTING, 100, facts.now, reason), Action.PROMOTE
    if facts.canary_ready and facts.stable_ready:
        reason = f"{status.canary.revision} answers"
        return _at_step(status, 0, facts.now, reason, plan), Action.SET_WEIGHT
    if facts.now - status.since >= plan.prepare_timeout_seconds:
        late = status.stable if facts.canary_ready and status.stable else status.canary
        reason = f"{late.revision} answered no request within {plan.prepare_timeout_seconds:g} s"
        return _ended(status, Phase.FAILED, facts.now, reason, FailureClass.INFRA), Action.RETIRE
    return status, Action.HOLD


def _judged(status: RolloutStatus, verdict: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    if verdict is None:
        return status, Action.HOLD
    status = replace(status, verdict=verdict)
    if verdict.outcome is Outcome.FAIL:
        return _sent_back(status, facts.now, "; ".join(verdict.reasons()), FailureClass.MODEL)
    if verdict.outcome is Outcome.ERROR:
        return _unjudged(status, verdict, facts, plan)
    status = replace(status, judge_errors=0)
    elapsed = facts.now - status.since
    dwell = plan.bake_seconds if status.phase is Phase.BAKING else plan.step_seconds
    if verdict.passed and facts.canary_ready and elapsed >= dwell:
        return _passed(status, facts, plan)
    if elapsed >= plan.step_timeout_seconds:
        waited = f"no pass within {plan.step_timeout_seconds:g} s"
        why = "; ".join(verdict.reasons()) if not verdict.passed else "the canary does not answer"
        reason = f"{waited}: {why}. Holding {status.weight} % for a person; promote again to go on"
        return _entered(status, Phase.PAUSED, status.weight, facts.now, reason), Action.HOLD
    return status, Action.HOLD


def _passed(status: RolloutStatus, facts: Facts, plan: RolloutPlan) -> _Next:
    reason = f"passed at {status.weight} %"
    if status.phase is Phase.BAKING:
        return _entered(status, Phase.PROMOTING, 100, facts.now, reason), Action.PROMOTE
    return _at_step(status, status.step + 1, facts.now, reason, plan), Action.SET_WEIGHT


def _unjudged(status: RolloutStatus, verdict: Verdict, facts: Facts, plan: RolloutPlan) -> _Next:
    status = replace(status, judge_errors=status.judge_errors + 1)
    if status.judge_errors <= plan.error_limit:
        return status, Action.HOLD
    reason = f"{status.judge_errors} looks in a row could not be judged: {'; '.join(verdict.reasons())}"
    return _sent_back(status, facts.now, reason, FailureClass.INFRA)


def _promoting(status: RolloutStatus, _: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    if facts.canary_ready:
        reason = f"{status.canary.revision} is stable"
        return _entered(status, Phase.SUCCEEDED, 100, facts.now, reason), Action.RETIRE
    if facts.now - status.since < plan.prepare_timeout_seconds:
        return status, Action.HOLD
    reason = f"{status.canary.revision} stopped answering while it was promoted"
    if status.stable is None:
        return _ended(status, Phase.FAILED, facts.now, reason, FailureClass.INFRA), Action.RETIRE
    return _sent_back(status, facts.now, reason, FailureClass.INFRA)


def _rolling_back(status: RolloutStatus, _: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    phase = Phase.ROLLED_BACK if status.failure_class is FailureClass.MODEL else Phase.FAILED
    return _ended(status, phase, facts.now, status.reason, status.failure_class), Action.RETIRE


def _resting(status: RolloutStatus, _: Verdict | None, facts: Facts, plan: RolloutPlan) -> _Next:
    return status, Action.HOLD


_Rule = Callable[[RolloutStatus, Verdict | None, Facts, RolloutPlan], _Next]
_RULES: dict[Phase, _Rule] = {
    Phase.PENDING: _pending,
    Phase.PREPARING: _preparing,
    Phase.PROGRESSING: _judged,
    Phase.BAKING: _judged,
    Phase.PROMOTING: _promoting,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.PAUSED: _resting,
    Phase.SUCCEEDED: _resting,
    Phase.ROLLED_BACK: _resting,
    Phase.FAILED: _resting,
}


def _at_step(status: RolloutStatus, step: int, now: float, reason: str, plan: RolloutPlan) -> RolloutStatus:
    weight = plan.weights[step]
    phase = Phase.BAKING if weight == 100 else Phase.PROGRESSING
    fresh = replace(status, step=step, comparison=status.comparison.at_new_step())
    return _entered(fresh, phase, weight, now, reason)


def _sent_back(status: RolloutStatus, now: float, reason: str, failure: FailureClass) -> _Next:
    return _ended(status, Phase.ROLLING_BACK, now, reason, failure), Action.ROLL_BACK


def _ended(
    status: RolloutStatus, phase: Phase, now: float, reason: str, failure: FailureClass | None
) -> RolloutStatus:
    return _entered(replace(status, failure_class=failure), phase, 0, now, reason)


def _entered(status: RolloutStatus, phase: Phase, weight: int, now: float, reason: str) -> RolloutStatus:
    move = Move(now, phase, weight, reason)
    return replace(
        status, phase=phase, weight=weight, since=now, reason=reason, history=(*status.history, move)
    )

"""Drives a rollout to its end: observe, judge, advance, save, apply, again.

The loop holds no state of its own. The status is saved before the fleet is asked to change (intent), the
fleet returns when it has confirmed (verify), and everything it is asked for may be asked twice. So a
killed driver is started again with the last saved status and goes on. Decisions are in
``fleet/rollout.py`` and ``fleet/analysis.py``; clocks and storage come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fleet.analysis import judge, unmeasured
from fleet.plan import RolloutPlan
from fleet.rollout import Action, Facts, advance, desired_state, is_final, resume
from fleet.router import Fleet
from fleet.status import Phase, RolloutStatus
from judging.verdict import Verdict
from registry.errors import HeadgateError, InfrastructureError

Save = Callable[[RolloutStatus], None]
OnEvent = Callable[[RolloutStatus, Action], None]


def drive(
    fleet: Fleet,
    save: Save,
    plan: RolloutPlan,
    status: RolloutStatus,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    on_event: OnEvent = lambda _status, _action: None,
) -> RolloutStatus:
    """Go on from ``status`` until the rollout ends or pauses; a paused one is resumed first.

    ``now`` gives seconds since the epoch. ``on_event`` is told every look, after it was saved. One that has
    succeeded, perhaps long ago, is done when its replica answers. Raises HeadgateError when the fleet cannot
    be changed; the saved status then tells where to go on.
    """
    status = resume(status, now())
    save(status)
    fleet.apply(desired_state(status))
    while not status.is_resting:
        status, action = _step(fleet, plan, status, now)
        save(status)
        on_event(status, action)
        if action is not Action.HOLD:
            fleet.apply(desired_state(status))
        elif not status.is_resting:
            sleep(plan.observe_seconds)
    if status.phase is Phase.SUCCEEDED:
        _await_answer(fleet, status, plan, now, sleep)
    return status


def _await_answer(
    fleet: Fleet,
    status: RolloutStatus,
    plan: RolloutPlan,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Wait until what was promoted answers: a fleet that was taken down since has to load it again."""
    deadline = now() + plan.prepare_timeout_seconds
    while not fleet.observed().is_ready(status.canary.revision):
        if now() >= deadline:
            raise InfrastructureError(
                f"{status.canary.revision} is routed, but answers no request",
                why=f"it was given {plan.prepare_timeout_seconds:g} s to start",
                next_step="read its log (`headgate status` names the folder), then promote again",
            )
        sleep(plan.observe_seconds)


def _step(
    fleet: Fleet, plan: RolloutPlan, status: RolloutStatus, now: Callable[[], float]
) -> tuple[RolloutStatus, Action]:
    verdict = None
    if status.phase.is_judged:
        status, verdict = _look(fleet, plan, status)
    elif status.phase is Phase.PREPARING:
        # What came before the canary's first request is not concurrent with it.
        status = _at_present(fleet, status)
    return advance(status, verdict, _facts(fleet, status, now()), plan)


def _look(fleet: Fleet, plan: RolloutPlan, status: RolloutStatus) -> tuple[RolloutStatus, Verdict]:
    """Add the new records to the comparison and judge it; a look that fails changes nothing."""
    stable = status.stable.revision if status.stable else ""
    canary = status.canary.revision
    try:
        if not fleet.is_online():
            return status, unmeasured("the gateway records no requests: it does not run")
        observation = fleet.observe((stable, canary), status.position)
    except HeadgateError as error:
        return status, unmeasured(str(error))
    comparison = status.comparison.updated(
        status.weight, observation.stats[stable], observation.stats[canary], plan.max_error_ratio
    )
    status = replace(status, comparison=comparison, position=observation.position)
    return status, judge(comparison, plan, final=is_final(status, plan))


def _at_present(fleet: Fleet, status: RolloutStatus) -> RolloutStatus:
    try:
        return replace(status, position=fleet.observe((), None).position)
    except InfrastructureError:
        return status  # the first look will say so, and count it


def _facts(fleet: Fleet, status: RolloutStatus, now: float) -> Facts:
    observed = fleet.observed()
    stable = status.stable
    return Facts(
        now=now,
        canary_ready=observed.is_ready(status.canary.revision),
        stable_ready=stable is None or observed.is_ready(stable.revision),
    )

"""Whole rollouts against a simulated fleet: the real driver, judge and state machine, one story per test."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fleet.driver import drive
from fleet.plan import RolloutPlan
from fleet.rollout import Action, start_rollout
from fleet.router import ReplicaSpec
from fleet.status import Phase, RolloutStatus
from judging.verdict import FailureClass, Outcome
from registry.errors import InfrastructureError
from tests.simulators.fleet import Behaviour, SimulatedFleet

PLAN = RolloutPlan(
    min_requests=50,
    step_seconds=30,
    bake_seconds=60,
    step_timeout_seconds=600,
    prepare_timeout_seconds=120,
    max_error_rate=0.05,
    max_ttft_ratio=1.3,
)
STABLE = ReplicaSpec("m-v1", ("serve", "{port}"))
CANARY = ReplicaSpec("m-v2", ("serve", "{port}"))


class Killed(Exception):
    """Stands for kill -9: nothing of the driver survives it."""


class Disk:
    """Saves the status as a file would: only its JSON survives; may kill the driver at a given save."""

    def __init__(self, kill_at: int = 0) -> None:
        self.text = ""
        self.saves = 0
        self.kill_at = kill_at

    def save(self, status: RolloutStatus) -> None:
        self.saves += 1
        self.text = json.dumps(status.to_json())
        if self.saves == self.kill_at:
            raise Killed

    def load(self) -> RolloutStatus:
        return RolloutStatus.from_json(json.loads(self.text))


def fresh(stable: ReplicaSpec | None = STABLE) -> RolloutStatus:
    return start_rollout("m", canary=CANARY, stable=stable, port=8080, now=1_000_000.0)


def run(
    fleet: SimulatedFleet, status: RolloutStatus | None = None, disk: Disk | None = None
) -> RolloutStatus:
    save = (disk or Disk()).save
    return drive(fleet, save, PLAN, status or fresh(), now=fleet.now, sleep=fleet.sleep)


def test_a_healthy_canary_is_promoted_step_by_step() -> None:
    """Weights rise as planned, the pointer moves, and only the new revision remains."""
    fleet = SimulatedFleet()
    status = run(fleet)
    assert status.phase is Phase.SUCCEEDED
    assert fleet.weights == [0, 5, 25, 50, 100, 0]
    assert fleet.desired.route.stable == "m-v2"
    assert [spec.revision for spec in fleet.desired.replicas] == ["m-v2"]
    assert [move.weight for move in status.history] == [0, 5, 25, 50, 100, 100, 100]


def test_a_canary_that_is_slow_under_load_is_rolled_back() -> None:
    """A time to first token that doubles at 25 % is found there, and everything goes back to stable."""
    slow = Behaviour(ttft_ms=lambda weight: 210.0 if weight >= 25 else 100.0)
    fleet = SimulatedFleet({"m-v2": slow})
    status = run(fleet)
    assert status.phase is Phase.ROLLED_BACK
    assert status.failure_class is FailureClass.MODEL
    assert max(fleet.weights) in {25, 50}
    assert fleet.desired.route.stable == "m-v1"
    assert [spec.revision for spec in fleet.desired.replicas] == ["m-v1"]
    assert "time to first token" in status.reason


def test_a_canary_with_errors_never_gets_beyond_the_first_weight() -> None:
    """20 % errors are proven harm at 5 % of the traffic."""
    fleet = SimulatedFleet({"m-v2": Behaviour(error_rate=lambda _: 0.2)})
    status = run(fleet)
    assert status.phase is Phase.ROLLED_BACK
    assert max(fleet.weights) == 5
    assert status.verdict is not None
    assert status.verdict.outcome is Outcome.FAIL


def test_errors_that_only_show_at_full_load_are_rolled_back_from_the_bake() -> None:
    """The bake at 100 % is judged too, without a concurrent stable."""
    fleet = SimulatedFleet({"m-v2": Behaviour(error_rate=lambda weight: 0.5 if weight == 100 else 0.0)})
    status = run(fleet)
    assert status.phase is Phase.ROLLED_BACK
    assert fleet.weights == [0, 5, 25, 50, 100, 0]


def test_without_traffic_the_rollout_pauses_at_its_weight() -> None:
    """No data is no pass: the first weight is held for a person, and promoting again goes on."""
    fleet = SimulatedFleet(requests_per_second=0.0)
    disk = Disk()
    status = run(fleet, disk=disk)
    assert status.phase is Phase.PAUSED
    assert status.weight == 5
    assert "no traffic" in status.reason
    fleet.requests_per_second = 20.0
    assert run(fleet, disk.load(), disk).phase is Phase.SUCCEEDED


def test_little_traffic_is_inconclusive_not_a_pass() -> None:
    """A canary that never gets its minimum of requests is not promoted."""
    status = run(SimulatedFleet(requests_per_second=1.0))
    assert status.phase is Phase.PAUSED
    assert status.verdict is not None
    assert status.verdict.outcome is Outcome.INCONCLUSIVE


def _break_log(fleet: SimulatedFleet) -> None:
    fleet.log_is_broken = True


def _stop_gateway(fleet: SimulatedFleet) -> None:
    fleet.online = False


@pytest.mark.parametrize("breakage", [_break_log, _stop_gateway])
def test_broken_measurement_is_the_platforms_fault(breakage: Callable[[SimulatedFleet], None]) -> None:
    """A log that cannot be read sends all traffic back, and the model is not blamed."""
    fleet = SimulatedFleet()

    def on_event(status: RolloutStatus, action: Action) -> None:
        if action is Action.SET_WEIGHT and status.weight == 25:
            breakage(fleet)

    status = drive(fleet, Disk().save, PLAN, fresh(), now=fleet.now, sleep=fleet.sleep, on_event=on_event)
    assert status.phase is Phase.FAILED
    assert status.failure_class is FailureClass.INFRA
    assert fleet.desired.route.canary_weight == 0
    assert status.judge_errors == PLAN.error_limit + 1


def test_a_short_outage_of_the_measurement_is_forgiven() -> None:
    """As many errors in a row as the limit allows do not end the rollout."""
    fleet = SimulatedFleet()
    seen = 0

    def on_event(status: RolloutStatus, _: Action) -> None:
        nonlocal seen
        seen += status.phase is Phase.PROGRESSING
        fleet.log_is_broken = 2 <= seen < 2 + PLAN.error_limit

    status = drive(fleet, Disk().save, PLAN, fresh(), now=fleet.now, sleep=fleet.sleep, on_event=on_event)
    assert status.phase is Phase.SUCCEEDED


def test_a_canary_that_never_answers_gets_no_traffic() -> None:
    """It is retired after the prepare timeout, as a platform failure."""
    fleet = SimulatedFleet({"m-v2": Behaviour(ready_after=1e9)})
    status = run(fleet)
    assert status.phase is Phase.FAILED
    assert status.failure_class is FailureClass.INFRA
    assert fleet.weights == [0]
    assert [spec.revision for spec in fleet.desired.replicas] == ["m-v1"]


def test_the_first_release_needs_no_canary() -> None:
    """Without a stable the new revision is promoted as soon as it answers."""
    fleet = SimulatedFleet()
    status = run(fleet, fresh(stable=None))
    assert status.phase is Phase.SUCCEEDED
    assert fleet.weights == [0]
    assert fleet.desired.route.stable == "m-v2"


@pytest.mark.parametrize("error_rate", [0.0, 0.3])
def test_killed_at_any_save_it_continues_to_the_same_end(error_rate: float) -> None:
    """A driver killed after any save ends as one that was left alone, with rising weights."""
    expected = Phase.ROLLED_BACK if error_rate else Phase.SUCCEEDED
    kill_at = 1
    while True:
        fleet = SimulatedFleet({"m-v2": Behaviour(error_rate=lambda _: error_rate)})
        disk = Disk(kill_at)
        try:
            assert run(fleet, disk=disk).phase is expected
            break  # it ended before it could be killed
        except Killed:
            assert run(fleet, disk.load(), disk).phase is expected
        rising = fleet.weights[:-1]
        assert rising == sorted(rising)
        kill_at += 1 if kill_at < 8 else 3
    assert kill_at > 8


def test_no_request_is_counted_twice_over_a_restart() -> None:
    """What the comparison holds at the end is what the canary served while it was judged."""
    fleet = SimulatedFleet()
    disk = Disk(kill_at=12)
    with pytest.raises(Killed):
        run(fleet, disk=disk)
    status = run(fleet, disk.load(), disk)
    served = sum(record.arm == "m-v2" for record in fleet.records)
    assert status.comparison.canary.requests == served


def test_a_fleet_that_cannot_change_leaves_a_status_to_go_on_from() -> None:
    """The error reaches the caller; the saved intent is carried out by the next run."""

    class Stuck(SimulatedFleet):
        stuck = False

        def apply(self, desired: object) -> None:
            if self.stuck and desired.route.canary_weight == 25:  # type: ignore[attr-defined]
                raise InfrastructureError("the gateway did not accept its configuration")
            super().apply(desired)  # type: ignore[arg-type]

    fleet, disk = Stuck(), Disk()
    fleet.stuck = True
    with pytest.raises(InfrastructureError):
        run(fleet, disk=disk)
    assert disk.load().weight == 25
    fleet.stuck = False
    assert run(fleet, disk.load(), disk).phase is Phase.SUCCEEDED


def test_a_machine_that_was_off_for_a_day_does_not_fail_a_canary_that_loads_again() -> None:
    """Killed while it prepared, it gets the whole time to prepare."""
    fleet, disk = SimulatedFleet(), Disk(kill_at=3)
    with pytest.raises(Killed):
        run(fleet, disk=disk)
    assert disk.load().phase is Phase.PREPARING
    fleet.time += 86_400
    fleet.started = dict.fromkeys(fleet.started, fleet.time)
    assert run(fleet, disk.load(), disk).phase is Phase.SUCCEEDED


def test_a_driver_that_was_away_for_a_day_does_not_pause_a_step_that_is_undecided() -> None:
    """Killed at the first weight, the step gets the whole time to be decided."""
    fleet, disk = SimulatedFleet(), Disk(kill_at=8)
    with pytest.raises(Killed):
        run(fleet, disk=disk)
    assert disk.load().phase is Phase.PROGRESSING
    fleet.time += 86_400
    assert run(fleet, disk.load(), disk).phase is Phase.SUCCEEDED


def test_what_was_promoted_before_is_done_when_it_answers() -> None:
    """Promoting it again after the fleet was down waits for its replica, and says so when none comes."""
    fleet = SimulatedFleet()
    promoted = run(fleet)
    fleet.down()
    assert run(fleet, promoted) == promoted
    assert fleet.is_ready("m-v2")
    fleet.down()
    fleet.behaviours["m-v2"] = Behaviour(ready_after=1e9)
    with pytest.raises(InfrastructureError, match=r"m-v2 is routed, but answers no request.* Next: "):
        run(fleet, promoted)


def test_a_rollout_to_what_is_live_never_takes_it_down() -> None:
    """After a canary was sent back, the same stable asked for again keeps its replica and its route."""
    fleet = SimulatedFleet({"m-v2": Behaviour(error_rate=lambda _: 0.5)})
    run(fleet, fresh(stable=None))  # m-v2 is the first release, and live
    fleet.applied.clear()
    live = start_rollout("m", canary=CANARY, stable=CANARY, port=8080, now=fleet.now())
    assert run(fleet, live).phase is Phase.SUCCEEDED
    assert [(d.route.stable, d.replicas) for d in fleet.applied] == [("m-v2", (CANARY,))]

"""A replica's life, step by step, and the routes the living replicas allow."""

from __future__ import annotations

import pytest

from fleet.reconcile import (
    Replica,
    Stage,
    Step,
    after_death,
    after_probe,
    backoff,
    effective_route,
    next_step,
)
from fleet.router import ReplicaSpec, Route

SPEC = ReplicaSpec("m-v1", ("serve", "{port}"))


def in_stage(stage: Stage, **known: int) -> Replica:
    return Replica(SPEC, 81, 100.0, (5, 6), stage, **known)


def step(replica: Replica, **facts: object) -> Step:
    known: dict[str, object] = {
        "wanted": True,
        "alive": True,
        "routed": False,
        "in_flight": 0,
        "now": 101.0,
        "drain_seconds": 10.0,
    }
    return next_step(replica, **{**known, **facts})  # type: ignore[arg-type]


def test_a_living_wanted_replica_is_left_alone() -> None:
    """In every stage of its normal life."""
    for stage in (Stage.STARTING, Stage.READY, Stage.UNREADY):
        assert step(in_stage(stage)) is Step.KEEP


def test_a_dead_replica_starts_again_after_its_backoff() -> None:
    """First it is marked down, then it waits, then it starts."""
    assert step(in_stage(Stage.READY), alive=False) is Step.MARK_DOWN
    dead = after_death(in_stage(Stage.READY, failures=2), 100.0)
    assert (dead.stage, dead.failures, dead.process) == (Stage.DOWN, 3, None)
    assert step(dead, alive=False) is Step.KEEP
    assert step(dead, alive=False, now=100.0 + backoff(3)) is Step.START


def test_backoff_grows_to_a_limit() -> None:
    """Doubling from half a second, never beyond half a minute."""
    assert [backoff(n) for n in (0, 1, 2, 3, 50)] == [0.0, 0.5, 1.0, 2.0, 30.0]


def test_a_replica_no_longer_wanted_loses_its_route_before_it_drains() -> None:
    """Draining waits for requests in flight, but not for ever; the end is SIGTERM, then SIGKILL."""
    assert step(in_stage(Stage.READY), wanted=False, routed=True) is Step.KEEP
    assert step(in_stage(Stage.READY), wanted=False) is Step.DRAIN
    draining = in_stage(Stage.DRAINING)
    assert step(draining, wanted=False, in_flight=2) is Step.KEEP
    assert step(draining, wanted=False) is Step.TERMINATE
    assert step(draining, wanted=False, in_flight=2, now=110.0) is Step.TERMINATE
    stopping = in_stage(Stage.STOPPING)
    assert step(stopping, wanted=False) is Step.KEEP
    assert step(stopping, wanted=False, now=140.0) is Step.KILL
    assert step(stopping, wanted=False, alive=False) is Step.FORGET


def test_a_replica_wanted_again_comes_back() -> None:
    """From draining at once; from stopping through an end and a new start."""
    assert step(in_stage(Stage.DRAINING)) is Step.REVIVE
    assert step(in_stage(Stage.STOPPING), alive=False) is Step.FORGET


def test_readiness_needs_an_answer_and_survives_two_missed_ones() -> None:
    """Three misses in a row take it out, one answer brings it back and forgets its failures."""
    ready = after_probe(in_stage(Stage.STARTING, failures=3), True, 1.0)
    assert (ready.stage, ready.failures) == (Stage.READY, 0)
    twice = after_probe(after_probe(ready, False, 2.0), False, 3.0)
    assert twice.stage is Stage.READY
    assert after_probe(after_probe(twice, True, 4.0), False, 5.0).stage is Stage.READY
    assert after_probe(twice, False, 4.0).stage is Stage.UNREADY
    assert after_probe(in_stage(Stage.STARTING), False, 1.0).stage is Stage.STARTING


def test_an_answer_that_comes_late_does_not_revive_a_draining_replica() -> None:
    """The probe ran while the replica was sent away."""
    draining = in_stage(Stage.DRAINING)
    assert after_probe(draining, True, 1.0) == draining


@pytest.mark.parametrize(
    ("desired", "ready", "route"),
    [
        (Route("s", "c", 25), {"s", "c"}, Route("s", "c", 25)),
        (Route("s", "c", 25), {"s"}, Route("s")),
        (Route("s", "c", 25), {"c"}, Route("c")),
        (Route("s", "c", 0), {"c"}, Route("s")),
        (Route("s"), set(), Route("s")),
        (Route(), {"s"}, Route()),
    ],
)
def test_an_arm_that_does_not_answer_gives_its_share_to_the_other(
    desired: Route, ready: set[str], route: Route
) -> None:
    """But a canary without a weight never gets any."""
    assert effective_route(desired, ready) == route

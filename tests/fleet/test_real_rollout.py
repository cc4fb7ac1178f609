"""Rollouts over a real Envoy with open-loop traffic: promoted, rolled back, and killed in the middle."""

from __future__ import annotations

import time

import pytest

from fleet.driver import drive
from fleet.plan import RolloutPlan
from fleet.rollout import start_rollout
from fleet.router import Route
from fleet.status import Phase, RolloutStatus
from tests.fleet.conftest import Bench, Traffic, spec

PLAN = RolloutPlan(
    weights=(25, 50, 100),
    min_requests=10,
    step_seconds=0.5,
    bake_seconds=0.5,
    observe_seconds=0.3,
    step_timeout_seconds=30,
    prepare_timeout_seconds=20,
    max_error_rate=0.15,
    max_ttft_ratio=3.0,
)
V1 = spec("m-v1")


def roll_out(bench: Bench, *knobs: str) -> RolloutStatus:
    status = start_rollout("m", canary=spec("m-v2", *knobs), stable=V1, port=bench.port, now=time.time())
    return drive(bench.fleet, lambda _: None, PLAN, status, now=time.time, sleep=time.sleep)


@pytest.fixture(autouse=True)
def stable_serves(bench: Bench) -> None:
    bench.serve(V1, route=Route("m-v1"))


def test_a_good_canary_is_promoted_without_a_failed_request(bench: Bench, traffic: Traffic) -> None:
    """Every answer during the whole rollout is a whole stream."""
    status = roll_out(bench)
    assert status.phase is Phase.SUCCEEDED, status.reason
    assert bench.answered_by() == "m-v2"
    traffic.running = False
    assert {answer.text.endswith("data: [DONE]\n\n") for answer in traffic.responses} == {True}


def test_a_bad_canary_is_rolled_back_and_users_saw_no_error(bench: Bench, traffic: Traffic) -> None:
    """Half of its answers are 500s: stable steps in each time, and the canary is gone within seconds."""
    status = roll_out(bench, "--error-rate", "0.5")
    assert status.phase is Phase.ROLLED_BACK, status.reason
    assert bench.answered_by() == "m-v1"
    traffic.running = False
    assert {answer.status_code for answer in traffic.responses} == {200}


def test_a_slow_canary_is_rolled_back(bench: Bench, traffic: Traffic) -> None:
    """Ten times the time to first token needs no errors to be harm."""
    status = roll_out(bench, "--ttft", "0.3")
    assert status.phase is Phase.ROLLED_BACK, status.reason
    assert status.verdict is not None
    assert any("first token" in reason for reason in status.verdict.reasons())
    assert traffic.answers


def test_a_canary_that_keeps_dying_is_never_promoted(bench: Bench, traffic: Traffic) -> None:
    """Its deaths are errors of the requests it was given."""
    status = roll_out(bench, "--die-after", "8")
    assert status.phase in {Phase.ROLLED_BACK, Phase.PAUSED, Phase.FAILED}, status.reason
    assert status.weight < 100
    assert traffic.answers

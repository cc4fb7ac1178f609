"""Plans, specs, routes and states: what they refuse, and that each comes back from JSON as it was."""

from __future__ import annotations

import json

import pytest

from fleet.observation import Comparison, RevisionStats
from fleet.plan import RolloutPlan
from fleet.reconcile import Replica, Stage
from fleet.router import DesiredState, ObservedState, ReplicaSpec, ReplicaState, Route
from fleet.vllm_command import vllm_arguments
from judging.sequential import Moments
from registry.errors import UsageError
from registry.version import ServeConfig

SPEC = ReplicaSpec("m-v1", ("serve", "--port", "{port}"), {"A": "b"}, "m")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": (5, 25)}, "then 100"),
        ({"weights": (100,)}, "a step below 100"),
        ({"weights": (25, 5, 100)}, "must rise"),
        ({"weights": (0, 100)}, "must rise"),
        ({"min_requests": 0}, "min_requests"),
        ({"step_timeout_seconds": 10}, "longer than"),
        ({"observe_seconds": 0}, "observe_seconds"),
        ({"alpha": 0.5}, "alpha"),
        ({"max_error_rate": 0}, "max_error_rate"),
        ({"max_ttft_ratio": 1.0}, "max_ttft_ratio"),
        ({"error_limit": -1}, "error_limit"),
    ],
)
def test_a_plan_that_cannot_be_judged_is_refused(wrong: dict[str, object], said: str) -> None:
    """The message names the value."""
    with pytest.raises(UsageError, match=said):
        RolloutPlan(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("revision", ["", "a/b", "a b", "../x", "a+b", "-x", "x" * 151])
def test_a_revision_that_is_no_name_is_refused(revision: str) -> None:
    """It becomes a cluster, a file and a label."""
    with pytest.raises(ValueError, match="revision"):
        ReplicaSpec(revision, ("{port}",))


def test_a_command_without_a_port_is_refused() -> None:
    """Nobody could tell the server where to listen."""
    with pytest.raises(ValueError, match="port"):
        ReplicaSpec("m-v1", ("serve",))


@pytest.mark.parametrize(
    "route", [(None, "c", 5), ("s", None, 5), ("s", "s", 5), ("s", "c", 101), ("s", "c", -1)]
)
def test_a_route_that_makes_no_sense_is_refused(route: tuple[str | None, str | None, int]) -> None:
    """A canary needs another stable, a weight a canary, and both a range."""
    with pytest.raises(ValueError, match=r"canary|weight"):
        Route(*route)


def test_values_survive_json() -> None:
    """What a file holds is what was meant."""
    desired = DesiredState(8080, (SPEC,), Route("m-v1", "m-v2", 5), 7, 3.5)
    observed = ObservedState(7, (ReplicaState("m-v1", 12, 34, True, 1),), Route("m-v1"), 8080, 1, 2, "oh", 8)
    stats = RevisionStats(requests=3, errors=1, ttft=Moments.of([1.0, 2.0]))
    replica = Replica(SPEC, 81, 5.0, (12, 99), Stage.READY, 2, 1)
    for value in (desired, observed, Comparison().updated(5, stats, stats, 1.5), replica):
        assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value


def test_a_command_gets_its_port() -> None:
    """Every place that names the port is filled in."""
    assert SPEC.command(81) == ["serve", "--port", "81"]


def test_vllm_serves_exactly_the_serve_configuration() -> None:
    """Every setting of the digested configuration is in the command, and the release's own flags win."""
    serve = ServeConfig(
        dtype="float16",
        max_model_len=2048,
        tensor_parallel_size=2,
        gpu_memory_utilization=0.9,
        max_num_seqs=64,
        chat_template="{{ messages }}",
        extra_args=("--enforce-eager",),
    )
    assert vllm_arguments(serve, served_model_name="m") == [
        *("--served-model-name", "m"),
        *("--dtype", "float16"),
        *("--max-model-len", "2048"),
        *("--tensor-parallel-size", "2"),
        *("--gpu-memory-utilization", "0.9"),
        *("--max-num-seqs", "64"),
        *("--chat-template", "{{ messages }}"),
        "--enable-force-include-usage",
        *("--shutdown-timeout", "30"),
        "--enforce-eager",
    ]

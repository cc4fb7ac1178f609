"""What a supervisor does next for each replica, and which route the living ones allow. Pure.

A replica goes starting -> ready <-> unready, and when it is wanted no more draining -> stopping -> gone.
One that died is down until its backoff is over. Starting, probing and killing is the supervisor's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fleet.router import DesiredState, ReplicaSpec, ReplicaState, Route

_LONGEST_BACKOFF = 30.0
_FIRST_BACKOFF = 0.5
_STOP_SECONDS = 40.0  # SIGTERM to SIGKILL; longer than a vLLM server finishes its streams
_MISSES_UNTIL_UNREADY = 3  # one slow answer under load is no reason to move traffic


class Stage(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DOWN = "down"
    DRAINING = "draining"
    STOPPING = "stopping"


class Step(StrEnum):
    """What to do with a replica now."""

    KEEP = "keep"
    START = "start"
    MARK_DOWN = "mark_down"
    REVIVE = "revive"
    DRAIN = "drain"
    TERMINATE = "terminate"
    KILL = "kill"
    FORGET = "forget"


@dataclass(frozen=True)
class Replica:
    """A server as its supervisor knows it.

    ``since`` is when it entered its stage, in seconds since the epoch so that it means the same to the
    next supervisor; ``process`` is its id and start time.
    """

    spec: ReplicaSpec
    port: int
    since: float
    process: tuple[int, int] | None = None
    stage: Stage = Stage.DOWN
    restarts: int = 0
    failures: int = 0
    misses: int = 0

    @property
    def has_endpoint(self) -> bool:
        """Whether the gateway may know its port: also while it drains, for the streams it still has."""
        return self.stage in {Stage.READY, Stage.DRAINING, Stage.STOPPING}

    def in_stage(self, stage: Stage, now: float) -> Replica:
        """The same replica, entering a stage."""
        return replace(self, stage=stage, since=now, misses=0)

    def to_state(self) -> ReplicaState:
        """What others may know about it."""
        pid = self.process[0] if self.process else None
        return ReplicaState(self.spec.revision, pid, self.port, self.stage is Stage.READY, self.restarts)

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {
            "spec": self.spec.to_json(),
            "port": self.port,
            "since": self.since,
            "process": list(self.process) if self.process else None,
            "stage": str(self.stage),
            "restarts": self.restarts,
            "failures": self.failures,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Replica:
        """Read what ``to_json`` wrote."""
        known = {name: value[name] for name in ("port", "since", "restarts", "failures")}
        return cls(
            spec=ReplicaSpec.from_json(value["spec"]),
            process=tuple(value["process"]) if value["process"] else None,
            stage=Stage(value["stage"]),
            **known,
        )


def next_step(
    replica: Replica,
    *,
    wanted: bool,
    alive: bool,
    routed: bool,
    in_flight: int,
    now: float,
    drain_seconds: float,
) -> Step:
    """What to do with a replica now: a route is moved off it before it drains, a drain is bounded."""
    if not alive:
        return _next_step_of_dead(replica, wanted=wanted, now=now)
    elapsed = now - replica.since
    if replica.stage is Stage.STOPPING:
        return Step.KILL if elapsed >= _STOP_SECONDS else Step.KEEP
    if replica.stage is Stage.DRAINING:
        if wanted:
            return Step.REVIVE
        return Step.TERMINATE if not in_flight or elapsed >= drain_seconds else Step.KEEP
    return Step.KEEP if wanted or routed else Step.DRAIN


def _next_step_of_dead(replica: Replica, *, wanted: bool, now: float) -> Step:
    if not wanted or replica.stage is Stage.STOPPING:
        return Step.FORGET
    if replica.stage is not Stage.DOWN:
        return Step.MARK_DOWN
    return Step.START if now - replica.since >= backoff(replica.failures) else Step.KEEP


def backoff(failures: int) -> float:
    """Seconds to wait before a restart, after this many deaths without an answer in between."""
    return float(min(_FIRST_BACKOFF * 2 ** max(failures - 1, 0), _LONGEST_BACKOFF)) if failures else 0.0


def after_death(replica: Replica, now: float) -> Replica:
    """The replica after its process was found dead."""
    return replace(replica.in_stage(Stage.DOWN, now), process=None, failures=replica.failures + 1)


def after_probe(replica: Replica, answered: bool, now: float) -> Replica:
    """The replica after a completion was asked of it."""
    if replica.stage not in {Stage.STARTING, Stage.READY, Stage.UNREADY}:
        return replica  # it was on its way out while the probe ran
    if answered:
        ready = replica if replica.stage is Stage.READY else replica.in_stage(Stage.READY, now)
        return replace(ready, failures=0, misses=0)
    missed = replace(replica, misses=replica.misses + 1)
    if replica.stage is Stage.READY and missed.misses >= _MISSES_UNTIL_UNREADY:
        return missed.in_stage(Stage.UNREADY, now)
    return missed


def effective_route(desired: Route, ready: Collection[str]) -> Route:
    """The desired route, with the share of an arm that does not answer given to the one that does.

    A canary without a weight never gets any: it may be there because it was found harmful.
    """
    if not desired.canary or not desired.canary_weight or not desired.stable:
        return Route(desired.stable)
    if desired.canary not in ready:
        return Route(desired.stable)
    if desired.stable not in ready:
        return Route(desired.canary)
    return desired


def new_replicas(desired: DesiredState, known: Collection[str]) -> list[ReplicaSpec]:
    """The wanted specs of revisions nobody has started yet."""
    return [spec for spec in desired.replicas if spec.revision not in known]

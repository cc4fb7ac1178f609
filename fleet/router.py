"""What a fleet should be and what it is: frozen values, and the protocol every kind of fleet fulfils.

A fleet is asked for a desired state and makes it so; it decides nothing about a rollout. The values are
also the files through which a flow and a supervisor talk, so each prints to JSON and reads it back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from fleet.observation import Observation

# A revision names an Envoy cluster, a log file and a metric label.
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")


@dataclass(frozen=True)
class ReplicaSpec:
    """A server to run: its command with a literal ``{port}``, and the model name it answers to."""

    revision: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    model: str = ""

    def __post_init__(self) -> None:
        if not _REVISION.fullmatch(self.revision):
            raise ValueError(f"not a revision name: {self.revision!r}")
        if not any("{port}" in word for word in self.argv):
            raise ValueError(f"the command of {self.revision} has no {{port}}: {list(self.argv)}")

    def command(self, port: int) -> list[str]:
        """The argument list for this port."""
        return [word.replace("{port}", str(port)) for word in self.argv]

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {
            "revision": self.revision,
            "argv": list(self.argv),
            "env": dict(self.env),
            "model": self.model,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReplicaSpec:
        """Read what ``to_json`` wrote."""
        return cls(value["revision"], tuple(value["argv"]), dict(value["env"]), value["model"])


@dataclass(frozen=True)
class Route:
    """Who answers: stable, and a canary with its weight in percent."""

    stable: str | None = None
    canary: str | None = None
    canary_weight: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.canary_weight <= 100:
            raise ValueError(f"a weight is between 0 and 100, not {self.canary_weight}")
        if self.canary_weight and not self.canary:
            raise ValueError("a weight without a canary")
        if self.canary and (not self.stable or self.canary == self.stable):
            raise ValueError("a canary needs another revision as stable")

    @property
    def revisions(self) -> frozenset[str]:
        """The revisions that may be sent a request."""
        canary = self.canary if self.canary_weight else None
        return frozenset(name for name in (self.stable, canary) if name)


@dataclass(frozen=True)
class DesiredState:
    """The replicas and the route a fleet should have; ``port`` None wants nothing, not even a gateway.

    ``drain_seconds`` bounds the wait for requests in flight before a replica is stopped.
    """

    port: int | None
    replicas: tuple[ReplicaSpec, ...] = ()
    route: Route = Route()
    generation: int = 0
    drain_seconds: float = 60.0

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {
            "generation": self.generation,
            "port": self.port,
            "replicas": [spec.to_json() for spec in self.replicas],
            "route": asdict(self.route),
            "drain_seconds": self.drain_seconds,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DesiredState:
        """Read what ``to_json`` wrote; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            port=value["port"],
            replicas=tuple(ReplicaSpec.from_json(spec) for spec in value["replicas"]),
            route=Route(**value["route"]),
            generation=value["generation"],
            drain_seconds=value["drain_seconds"],
        )


@dataclass(frozen=True)
class ReplicaState:
    """A server as it is; ``ready`` means that it answered a real completion not long ago."""

    revision: str
    pid: int | None
    port: int
    ready: bool
    restarts: int = 0


@dataclass(frozen=True)
class ObservedState:
    """What a fleet is: the generation it has reached, and the route its gateway confirmed.

    ``problem`` is what stopped the last pass, and ``tried`` the generation that pass was for.
    """

    generation: int = 0
    replicas: tuple[ReplicaState, ...] = ()
    route: Route = Route()
    port: int | None = None
    supervisor_pid: int | None = None
    gateway_pid: int | None = None
    problem: str = ""
    tried: int = 0

    def is_ready(self, revision: str) -> bool:
        """Whether some replica of this revision answers."""
        return any(replica.ready for replica in self.replicas if replica.revision == revision)

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        return {**asdict(self), "replicas": [asdict(replica) for replica in self.replicas]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ObservedState:
        """Read what ``to_json`` wrote; raises KeyError, TypeError or ValueError on anything else."""
        replicas = tuple(ReplicaState(**replica) for replica in value["replicas"])
        return cls(**{**value, "replicas": replicas, "route": Route(**value["route"])})


class Fleet(Protocol):
    """What a rollout asks of a fleet. Each method may be called again after a crash."""

    def apply(self, desired: DesiredState) -> None:
        """Make it so; returns when the gateway confirmed the route. Raises HeadgateError."""

    def observed(self) -> ObservedState:
        """What the fleet is now."""

    def observe(self, revisions: Sequence[str], since: int | None) -> Observation:
        """The requests answered since a position; None only asks for the present position."""

    def is_online(self) -> bool:
        """Whether requests are being recorded, so that silence means no traffic."""

    def down(self) -> None:
        """Stop everything and leave no process behind."""

"""A fleet in memory: replicas with latency, errors and deaths, and traffic that flows while one sleeps.

Fulfils the Fleet protocol with the product's own values, so scenario tests run the real driver, judge and
state machine against it. Time passes only in ``sleep``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fleet.access_log import RequestRecord
from fleet.observation import Observation, tally
from fleet.router import DesiredState, ObservedState, ReplicaState, Route
from registry.errors import InfrastructureError


@dataclass
class Behaviour:
    """How a revision's replica behaves; ``ttft_ms`` and ``error_rate`` depend on the canary's weight."""

    ttft_ms: Callable[[int], float] = lambda _weight: 100.0
    error_rate: Callable[[int], float] = lambda _weight: 0.0
    ready_after: float = 20.0


@dataclass
class SimulatedFleet:
    """Mutate it in the middle of a test: that is what it is for."""

    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    requests_per_second: float = 20.0
    online: bool = True
    log_is_broken: bool = False
    time: float = 1_000_000.0
    desired: DesiredState = DesiredState(port=None)  # noqa: RUF009 - frozen
    applied: list[DesiredState] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)
    random: random.Random = field(default_factory=lambda: random.Random(5))

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for _ in range(round(self.requests_per_second * seconds)):
            self._serve()

    def apply(self, desired: DesiredState) -> None:
        self.desired = replace(desired, generation=len(self.applied) + 1)
        self.applied.append(self.desired)
        names = {spec.revision for spec in desired.replicas}
        self.started = {name: self.started.get(name, self.time) for name in names}

    def observed(self) -> ObservedState:
        replicas = tuple(ReplicaState(name, 1, 1, self.is_ready(name)) for name in sorted(self.started))
        return ObservedState(self.desired.generation, replicas, self.desired.route, self.desired.port)

    def observe(self, revisions: Sequence[str], since: int | None) -> Observation:
        if self.log_is_broken:
            raise InfrastructureError("the gateway's access log cannot be read", why="disk on fire")
        start = len(self.records) if since is None else since
        return Observation(len(self.records), tally(self.records[start:], revisions))

    def is_online(self) -> bool:
        return self.online

    def down(self) -> None:
        self.apply(DesiredState(port=None))

    @property
    def weights(self) -> list[int]:
        """The canary's weight in every state that was asked for, in order, without repeats."""
        found: list[int] = []
        for desired in self.applied:
            if found[-1:] != [desired.route.canary_weight]:
                found.append(desired.route.canary_weight)
        return found

    def is_ready(self, name: str) -> bool:
        return name in self.started and self.time - self.started[name] >= self._of(name).ready_after

    def _of(self, name: str) -> Behaviour:
        return self.behaviours.get(name, Behaviour())

    def _serve(self) -> None:
        route: Route = self.desired.route
        arm = route.canary if self.random.random() * 100 < route.canary_weight else route.stable
        if not arm:
            return
        behaviour = self._of(arm)
        failed = not self.is_ready(arm) or self.random.random() < behaviour.error_rate(route.canary_weight)
        ttft = behaviour.ttft_ms(route.canary_weight) * self.random.lognormvariate(0, 0.3)
        record = RequestRecord(
            arm=arm,
            revision=arm,
            status=500 if failed else 200,
            ttft_ms=ttft,
            total_ms=ttft + 80,
            completion_tokens=9,
            started=self.time,
        )
        self.records.append(record)

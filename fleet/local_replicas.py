"""The replicas of a local fleet: starts, probes and ends servers as ``fleet/reconcile.py`` decides.

Knows nothing of routes and Envoy: the supervisor tells it which revisions are routed and busy.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from fleet.local_files import FleetFiles
from fleet.local_processes import Daemon, free_port, kill_marked, start_daemon
from fleet.readiness import answers
from fleet.reconcile import Replica, Stage, Step, after_death, after_probe, new_replicas, next_step
from fleet.router import DesiredState, ReplicaSpec
from registry.errors import InfrastructureError

_PROBE_SECONDS = 10.0
_PROBE_EVERY = {Stage.STARTING: 0.3, Stage.UNREADY: 1.0, Stage.READY: 5.0}


class LocalReplicas:
    """The servers one supervisor looks after; ``marks`` are the variables that tell they are its own."""

    def __init__(
        self,
        files: FleetFiles,
        env: Mapping[str, str],
        marks: Mapping[str, str],
        replicas: Collection[Replica] = (),
    ) -> None:
        self._files = files
        self._env = env
        self._marks = marks
        self._replicas = {replica.spec.revision: replica for replica in replicas}
        self._next_probe: dict[str, float] = {}
        self._unstartable: dict[str, InfrastructureError] = {}
        self._answers: queue.SimpleQueue[tuple[str, Daemon, bool]] = queue.SimpleQueue()

    @property
    def all(self) -> tuple[Replica, ...]:
        """The replicas there are, by revision."""
        return tuple(self._replicas[name] for name in sorted(self._replicas))

    @property
    def ready(self) -> frozenset[str]:
        """The revisions that answer."""
        return frozenset(name for name, r in self._replicas.items() if r.stage is Stage.READY)

    def endpoints(self) -> dict[str, tuple[int, ...]]:
        """The ports a gateway may send to, per revision."""
        return {name: (r.port,) if r.has_endpoint else () for name, r in self._replicas.items()}

    def reconcile(
        self, desired: DesiredState, routed: Collection[str], in_flight: Callable[[str], int], now: float
    ) -> None:
        """One step of every replica towards the desired state."""
        for spec in new_replicas(desired, self._replicas):
            self._start(spec, now)
        for name, replica in list(self._replicas.items()):
            draining = replica.stage is Stage.DRAINING
            step = next_step(
                replica,
                wanted=replica.spec in desired.replicas,
                alive=replica.process is not None and Daemon(*replica.process).is_alive,
                routed=name in routed,
                in_flight=in_flight(name) if draining else 0,
                now=now,
                drain_seconds=desired.drain_seconds,
            )
            self._take(step, name, replica, now)

    def probe(self, now: float) -> None:
        """Ask for completions where one is due, in the background, and take in the answers there are."""
        while not self._answers.empty():
            name, daemon, answered = self._answers.get()
            replica = self._replicas.get(name)
            if replica and replica.process == (daemon.pid, daemon.started):
                self._replicas[name] = after_probe(replica, answered, now)
                self._next_probe[name] = now + _PROBE_EVERY.get(self._replicas[name].stage, 1.0)
        for name, replica in self._replicas.items():
            if replica.stage in _PROBE_EVERY and replica.process and now >= self._next_probe.get(name, 0.0):
                self._next_probe[name] = now + 2 * _PROBE_SECONDS  # until its answer says better
                arguments = (name, replica, Daemon(*replica.process))
                threading.Thread(target=self._ask, args=arguments, daemon=True).start()

    def retry(self) -> None:
        """Have what could not be started tried again in the next step: somebody asks for it now."""
        for name in self._unstartable.keys() & self._replicas:
            self._replicas[name] = replace(self._replicas[name], failures=0)

    def raise_unstartable(self) -> None:
        """Raise the InfrastructureError of a replica that could not be started even once.

        One that ran before is restarted quietly: a wish to leave it must not fail because of it.
        """
        for name, error in self._unstartable.items():
            if name in self._replicas and not self._replicas[name].restarts:
                raise error

    def end_strays(self, keep: Daemon | None) -> None:
        """Kill marked processes that belong to no living replica: what a killed parent left behind."""
        alive = {r.process[0] for r in self._replicas.values() if r.process and Daemon(*r.process).is_alive}
        kill_marked(self._marks, keep_sessions={*alive, *([keep.pid] if keep else []), os.getsid(0)})

    def _ask(self, name: str, replica: Replica, daemon: Daemon) -> None:
        answered = answers(replica.port, replica.spec.model, _PROBE_SECONDS)
        self._answers.put((name, daemon, answered))

    def _take(self, step: Step, name: str, replica: Replica, now: float) -> None:
        daemon = Daemon(*replica.process) if replica.process else None
        if step is Step.START:
            self._start(replica.spec, now, replica)
        elif step is Step.MARK_DOWN:
            self._replicas[name] = after_death(replica, now)
        elif step is Step.REVIVE:
            self._replicas[name] = replica.in_stage(Stage.STARTING, now)
        elif step is Step.DRAIN:
            self._replicas[name] = replica.in_stage(Stage.DRAINING, now)
        elif step is Step.TERMINATE and daemon:
            daemon.terminate()
            self._replicas[name] = replica.in_stage(Stage.STOPPING, now)
        elif step is Step.KILL and daemon:
            daemon.kill()
        elif step is Step.FORGET:
            del self._replicas[name]

    def _start(self, spec: ReplicaSpec, now: float, before: Replica | None = None) -> None:
        port = free_port({replica.port for replica in self._replicas.values()})
        replica = Replica(spec, port, now)
        if before:
            again = 0 if spec.revision in self._unstartable else 1
            replica = replace(replica, restarts=before.restarts + again, failures=before.failures)
        env = {**self._env, **spec.env, **self._marks}
        try:
            daemon = start_daemon(spec.command(port), env, self._files.log(spec.revision))
        except InfrastructureError as error:
            self._replicas[spec.revision] = after_death(replica, now)
            self._unstartable[spec.revision] = error
            return
        self._unstartable.pop(spec.revision, None)
        started = replace(replica, process=(daemon.pid, daemon.started))
        self._replicas[spec.revision] = started.in_stage(Stage.STARTING, now)
        self._next_probe[spec.revision] = now + _PROBE_EVERY[Stage.STARTING]

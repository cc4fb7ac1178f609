"""The daemon that makes a local fleet what is desired: ``python -m fleet.local_supervisor FLEET_FOLDER``.

One per fleet (a lock says so). It reads ``desired.json``, keeps replicas and gateway running, and writes
``observed.json``. It may be killed at any moment: replicas and Envoy go on without it, and the next
supervisor adopts them from ``supervisor.json``. It ends by itself when nothing is desired any more.
What to do next is decided in ``fleet/reconcile.py``; this is the loop that does it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import fleet
from fleet.envoy_config import Config
from fleet.local_files import FleetFiles, read_json, write_json
from fleet.local_gateway import LocalGateway
from fleet.local_processes import Daemon, collect_ended
from fleet.local_replicas import LocalReplicas
from fleet.reconcile import Replica, effective_route
from fleet.router import DesiredState, ObservedState, Route
from registry.errors import HeadgateError

_TICK_SECONDS = 0.1
_RETRY_SECONDS = 1.0


def marks(directory: Path) -> dict[str, str]:
    """The variables by which every process of the fleet in this folder is known."""
    return {"HEADGATE_RUN_ID": f"fleet-{directory.name}", "HEADGATE_HOME": str(directory.parent.parent)}


class Supervisor:
    """Reconciles one fleet; ``tick`` is one pass."""

    def __init__(self, directory: Path, env: Mapping[str, str]) -> None:
        self._files = FleetFiles(directory)
        self._env = {**env, **marks(directory)}
        self._gateway = LocalGateway(self._files, directory.name)
        saved = read_json(self._files.supervisor)
        replicas = [Replica.from_json(value) for value in saved.get("replicas", [])]
        self._replicas = LocalReplicas(self._files, _without_our_path(env), marks(directory), replicas)
        self._holder = Daemon(*saved["holder"]) if saved.get("holder") else None
        self._port: int | None = saved.get("port")
        self._route = Route(**saved["route"]) if saved.get("route") else Route()
        self._config: Mapping[str, Config] | None = None
        self._generation = self._tried = 0
        self._saved: object = None
        self._written: ObservedState | None = None
        self._deaths = 0
        self._replicas.end_strays(self._holder)

    def run(self) -> None:
        """Tick until nothing is desired and nothing is left."""
        while True:
            problem = ""
            try:
                if self.tick():
                    break
            except HeadgateError as error:
                problem = str(error)
            self._remember()
            self._tell(problem)
            time.sleep(_RETRY_SECONDS if problem else _TICK_SECONDS)
        self._remember()
        self._tell("")

    def tick(self) -> bool:
        """One pass; returns whether all work is over. Raises HeadgateError for what a later pass may mend."""
        desired = self._files.read_desired()
        if desired is None:
            return True
        if desired.generation != self._tried:
            self._replicas.retry()
        self._tried = desired.generation
        collect_ended()
        now = time.time()
        self._replicas.probe(now)
        self._replicas.reconcile(desired, self._route.revisions, self._in_flight, now)
        self._sweep()
        self._remember()  # a process that was started is not only in memory while the gateway is waited for
        if desired.port is None:
            return self._tear_down(desired)
        self._serve(desired, desired.port)
        self._replicas.raise_unstartable()
        self._generation = desired.generation
        return False

    def _in_flight(self, revision: str) -> int:
        """Requests a replica is answering; none when there is no gateway they could come through."""
        try:
            return self._gateway.admin.requests_in_flight(revision)
        except HeadgateError:
            return 0

    def _serve(self, desired: DesiredState, port: int) -> None:
        route = effective_route(desired.route, self._replicas.ready)
        endpoints = dict[str, tuple[int, ...]].fromkeys(route.revisions, ()) | self._replicas.endpoints()
        config = self._gateway.configuration(port, endpoints, route)
        holder = self._living_holder
        if holder and port != self._port:
            self._gateway.stop(holder)
            holder = None
        if not holder:
            self._holder, self._config = None, None
            self._replicas.end_strays(None)  # an Envoy whose holder was killed still has the port
            self._holder = self._gateway.start(port, config, self._env)
        elif config != self._config:
            self._gateway.publish(config)
        self._config, self._route, self._port = config, route, port

    def _tear_down(self, desired: DesiredState) -> bool:
        """Route nothing, let the replicas drain and end, then end the gateway."""
        if self._port and (holder := self._living_holder):
            if self._route != Route():
                self._gateway.publish(
                    self._gateway.configuration(self._port, self._replicas.endpoints(), Route())
                )
            self._route = Route()
            if self._replicas.all:
                return False
            self._gateway.stop(holder)
        self._holder, self._port, self._route = None, None, Route()
        self._generation = desired.generation
        return not self._replicas.all

    def _sweep(self) -> None:
        """After a death, kill what the dead left: an engine's workers hold memory long after it is gone."""
        deaths = sum(replica.failures for replica in self._replicas.all)
        if deaths > self._deaths:
            self._replicas.end_strays(self._holder)
        self._deaths = deaths

    def _remember(self) -> None:
        """Write what the next supervisor needs, when it changed."""
        holder = self._living_holder
        state = {
            "replicas": [replica.to_json() for replica in self._replicas.all],
            "holder": [holder.pid, holder.started] if holder else None,
            "port": self._port,
            "route": vars(self._route),
        }
        if state != self._saved:
            write_json(self._files.supervisor, state)
            self._saved = state

    def _tell(self, problem: str) -> None:
        """Write what others read, when it changed: a replica is ready only once the gateway knows it."""
        holder = self._living_holder
        observed = ObservedState(
            generation=self._generation,
            replicas=tuple(replica.to_state() for replica in self._replicas.all),
            route=self._route,
            port=self._port,
            supervisor_pid=os.getpid(),
            gateway_pid=holder.pid if holder else None,
            problem=problem,
            tried=self._tried,
        )
        if observed != self._written:
            write_json(self._files.observed, observed.to_json())
            self._written = observed

    @property
    def _living_holder(self) -> Daemon | None:
        return self._holder if self._holder and self._holder.is_alive else None


def _without_our_path(env: Mapping[str, str]) -> dict[str, str]:
    """The environment for servers: our own packages must not shadow theirs (``tasks``, ``images``...)."""
    ours = str(Path(fleet.__file__).parent.parent)
    paths = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path and path != ours]
    rest = {name: value for name, value in env.items() if name != "PYTHONPATH"}
    return {**rest, "PYTHONPATH": os.pathsep.join(paths)} if paths else rest


def main(directory: Path) -> int:
    """Be the one supervisor of this fleet; returns 0 at once when there is another."""
    files = FleetFiles(directory)
    with files.lock.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
        Supervisor(directory, os.environ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))

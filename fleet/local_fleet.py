"""A fleet on this machine, as flows see it: writes what is desired, waits until the supervisor made it so.

The client holds no state: everything is in the fleet's folder, so another process may go on at any time.
A supervisor found dead is started again. Processes themselves are the supervisor's.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import fleet
from fleet.access_log import parse_chunk
from fleet.envoy_router import EnvoyAdmin
from fleet.local_files import FleetFiles, write_json
from fleet.local_processes import Daemon, is_running, kill_marked, port_is_taken, start_daemon
from fleet.local_supervisor import marks
from fleet.observation import Observation, tally
from fleet.router import DesiredState, ObservedState
from registry.atomic import exclusive
from registry.errors import InfrastructureError, UsageError
from registry.home import Home

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_APPLY_SECONDS = 60.0
_PROBLEM_SECONDS = 3.0  # a problem that stays this long does not mend itself
_DOWN_DRAIN_SECONDS = 5.0
_DOWN_SECONDS = 90.0
_POLL_SECONDS = 0.05
_LARGEST_READ = 64 << 20  # bytes of log per look; the rest comes with the next one


class LocalFleet:
    """One named fleet under a home; fulfils the Fleet protocol. ``env`` is inherited by the servers."""

    def __init__(self, home: Home, name: str, env: Mapping[str, str] | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the name of a fleet",
                why="it becomes a folder: up to 128 lower-case letters, digits, '.', '_' and '-'",
                next_step="choose another name",
            )
        self._directory = home.fleets.resolve() / name
        self._files = FleetFiles(self._directory)
        self._env = dict(os.environ if env is None else env)
        self._supervisor: Daemon | None = None

    def apply(self, desired: DesiredState) -> None:
        """Make it so; returns when the gateway confirmed the route.

        Raises UsageError when another program has the port, InfrastructureError when it cannot be made so.
        """
        if desired.port is not None:
            self.check_port(desired.port)
        generation = self._want(desired)
        self._wait(generation, lambda seen: seen.generation == generation, _APPLY_SECONDS)

    def observed(self) -> ObservedState:
        """What the fleet is now; a dead supervisor is started again first."""
        desired = self._files.read_desired()
        if desired is not None and desired.port is not None and not self._is_supervised():
            generation = desired.generation
            self._wait(generation, lambda seen: seen.generation == generation, _APPLY_SECONDS)
        return self._files.read_observed()

    def observe(self, revisions: Sequence[str], since: int | None) -> Observation:
        """The requests answered since a position in the access log; raises InfrastructureError."""
        path = self._files.access_log
        try:
            size = path.stat().st_size if path.exists() else 0
            if since is None or size == 0:
                return Observation(size, tally((), revisions))
            start = since if since <= size else 0  # a shorter log is a new one
            with path.open("rb") as file:
                file.seek(start)
                chunk = parse_chunk(file.read(_LARGEST_READ))
        except OSError as error:
            raise InfrastructureError(
                f"the gateway's access log {path} cannot be read",
                why=error.strerror or str(error),
                next_step="check the folder's owner and permissions, then promote again",
            ) from error
        return Observation(start + chunk.consumed, tally(chunk.records, revisions))

    def is_online(self) -> bool:
        """Whether the gateway runs, so that silence in its log means no traffic."""
        try:
            return EnvoyAdmin(self._files.envoy / "admin_address").request("GET", "/ready").startswith("LIVE")
        except InfrastructureError:
            return False

    def down(self) -> None:
        """Stop replicas, Envoy, its holder and the supervisor; raises InfrastructureError if one stays."""
        if self._files.read_desired() is None:
            return
        generation = self._want(DesiredState(port=None, drain_seconds=_DOWN_DRAIN_SECONDS))
        if self._is_supervised() or _anything_runs(self._files.read_observed()):
            self._wait(
                generation,
                lambda seen: not self._is_supervised() and not _anything_runs(seen),
                _DOWN_SECONDS,
            )
        if self._supervisor:
            self._supervisor.wait(_PROBLEM_SECONDS)
        kill_marked(marks(self._directory))

    def check_port(self, port: int) -> None:
        """Raises UsageError when another program listens where this fleet's gateway would."""
        ours = self._files.read_observed().port == port and self.is_online()
        if not ours and port_is_taken(port):
            raise UsageError(
                f"port {port} is taken by another program",
                why=f"the gateway of the fleet {self._directory.name} has to listen there",
                next_step=f"stop it (`ss -ltnp sport = :{port}` names it) or choose another port",
            )

    def _want(self, desired: DesiredState) -> int:
        """Write what is desired under a new generation, unless it already is; returns the generation.

        One whose last attempt failed is asked for anew: its old problem says nothing of the next attempt.
        """
        with exclusive(self._files.desired_lock):
            present = self._files.read_desired()
            generation = present.generation if present else 0
            seen = self._files.read_observed()
            failed = bool(seen.problem) and seen.tried == generation
            if present is None or failed or replace(desired, generation=generation) != present:
                generation += 1
                write_json(self._files.desired, replace(desired, generation=generation).to_json())
        return generation

    def _wait(self, generation: int, reached: Callable[[ObservedState], bool], seconds: float) -> None:
        """Wait for the supervisor, starting it when it is dead; raises InfrastructureError.

        A problem counts once the supervisor met it with this generation. What failed before is told only when
        the time is up: a supervisor of an older Headgate does not say what it tried.
        """
        deadline = time.monotonic() + seconds
        troubled_since: float | None = None
        while True:
            supervised = self._is_supervised()
            seen = self._files.read_observed()
            # A dead supervisor's last words say nothing about now.
            fresh = supervised and is_running(seen.supervisor_pid)
            if reached(seen) and (fresh or not self._wanted()):
                return
            if not supervised and not (self._supervisor and self._supervisor.is_alive):
                self._start_supervisor()
            now = time.monotonic()
            problem = seen.problem if fresh else ""
            counts = bool(problem) and seen.tried == generation
            troubled_since = (troubled_since or now) if counts else None
            if now > deadline or (troubled_since and now - troubled_since > _PROBLEM_SECONDS):
                raise InfrastructureError(
                    f"the fleet {self._directory.name} did not become what was asked",
                    why=problem or f"its supervisor did not report success within {seconds:g} s",
                    next_step=f"read the logs in {self._directory}, mend the cause and run the command again",
                )
            time.sleep(_POLL_SECONDS)

    def _wanted(self) -> bool:
        desired = self._files.read_desired()
        return desired is not None and desired.port is not None

    def _is_supervised(self) -> bool:
        try:
            with self._files.lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _start_supervisor(self) -> None:
        ours = str(Path(fleet.__file__).parent.parent)
        theirs = self._env.get("PYTHONPATH")
        env = {
            **self._env,
            **marks(self._directory),
            "PYTHONPATH": os.pathsep.join([ours, theirs] if theirs else [ours]),
        }
        command = [sys.executable, "-m", "fleet.local_supervisor", str(self._directory)]
        self._supervisor = start_daemon(command, env, self._files.log("supervisor"))


def _anything_runs(seen: ObservedState) -> bool:
    return bool(seen.replicas or seen.gateway_pid)

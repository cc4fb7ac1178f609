"""Roll out: drive the local fleet from what it serves to a version, saving the status at every step."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from fleet.driver import drive
from fleet.local_fleet import LocalFleet
from fleet.plan import RolloutPlan
from fleet.rollout import Action, abort, start_rollout
from fleet.router import ReplicaSpec
from fleet.status import Phase, RolloutStatus
from registry.digest import canonical_json
from registry.dir_store import DirStore
from registry.errors import UsageError
from registry.home import Home
from registry.store import Store
from tasks.progress import report
from tasks.redact import without_secrets
from tasks.workplace import Workplace


@task(cache_policy=NO_CACHE)
def roll_out(
    place: Workplace, fleet_name: str, port: int, canary: ReplicaSpec, plan: RolloutPlan
) -> RolloutStatus:
    """The status the rollout of ``canary`` ended or paused in; one that was interrupted goes on.

    Raises UsageError while another rollout holds the fleet, HeadgateError when the fleet cannot be changed.
    """
    with (
        place.stage("rollout", f"{canary.revision} to the fleet {fleet_name}"),
        _alone(place.home, fleet_name),
    ):
        fleet = LocalFleet(place.home, fleet_name, without_secrets(os.environ))
        status = _begin(place.fleet_store, fleet_name, canary, port)
        return drive(
            fleet,
            lambda status: save_status(place.fleet_store, fleet_name, status),
            plan,
            status,
            now=time.time,
            sleep=time.sleep,
            on_event=_tell,
        )


def take_down(home: Home, fleet_name: str) -> None:
    """Stop the fleet's processes; a rollout that was not over is given up. Raises HeadgateError."""
    store = DirStore(home.store)
    with _alone(home, fleet_name):
        report("down", f"stopping the fleet {fleet_name}")
        status = load_status(store, fleet_name)
        if status and not status.phase.is_terminal:
            save_status(store, fleet_name, abort(status, time.time(), "the fleet was taken down"))
        LocalFleet(home, fleet_name).down()
        report("down", "done", 1.0)


def check_port(home: Home, fleet_name: str, port: int) -> None:
    """Raises UsageError when the fleet could not have this port: better now than after an hour of gates."""
    LocalFleet(home, fleet_name).check_port(port)


def load_status(store: Store, fleet_name: str) -> RolloutStatus | None:
    """The fleet's last rollout, or None before the first."""
    data = store.get(_key(fleet_name))
    return RolloutStatus.from_json(json.loads(data)) if data else None


def save_status(store: Store, fleet_name: str, status: RolloutStatus) -> None:
    """Replace the fleet's rollout status; the caller holds the fleet's lock, so nobody else writes."""
    key = _key(fleet_name)
    while not store.compare_and_swap(key, store.get(key), canonical_json(status.to_json())):
        pass


def _begin(store: Store, fleet_name: str, canary: ReplicaSpec, port: int) -> RolloutStatus:
    last = load_status(store, fleet_name)
    same = last is not None and last.canary.revision == canary.revision
    if last and same and (last.phase is Phase.SUCCEEDED or not last.phase.is_terminal):
        return replace(last, canary=canary, port=port)
    if last and not last.phase.is_terminal:
        raise UsageError(
            f"the rollout of {last.canary.revision} is not over: it is {last.phase} at {last.weight} %",
            why="a fleet rolls out one version at a time",
            next_step=f"promote {last.canary.revision} again to finish it, or take the fleet down",
        )
    stable = _stable(last)
    if stable and stable.model != canary.model:
        raise UsageError(
            f"the fleet {fleet_name} serves {stable.model}, not {canary.model}",
            why="a canary is judged against the same model, and its users would lose theirs",
            next_step="name another fleet and port in the rollout section",
        )
    return start_rollout(canary.revision, canary=canary, stable=stable, port=port, now=time.time())


def _stable(last: RolloutStatus | None) -> ReplicaSpec | None:
    """What the fleet serves after its last rollout."""
    if last is None:
        return None
    return last.canary if last.phase is Phase.SUCCEEDED else last.stable


def _tell(status: RolloutStatus, action: Action) -> None:
    if action is Action.HOLD and status.verdict:
        message = status.verdict.findings[0].message
    else:
        message = status.reason
    report("rollout", f"{status.phase} {status.weight} %: {message}", status.weight / 100)


@contextmanager
def _alone(home: Home, fleet_name: str) -> Iterator[None]:
    lock = home.fleets / fleet_name / "rollout.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process is rolling out to the fleet {fleet_name} now",
                next_step="wait for it; `headgate status` shows where it is",
            ) from None
        yield


def _key(fleet_name: str) -> str:
    return f"rollouts/{fleet_name}.json"

"""Roll out: drive the local fleet from what it serves to a version, saving the status at every step."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from fleet.driver import drive
from fleet.local_fleet import LocalFleet
from fleet.rollout import Action, abort, start_rollout
from fleet.roster import KnownFleet, Target, find_fleet, get_fleet, insist_on_canary, reference_of
from fleet.router import ReplicaSpec
from fleet.status import Phase, RolloutStatus
from registry.atomic import explained
from registry.dir_store import DirStore
from registry.errors import UsageError
from registry.home import Home
from tasks.fleet_records import known_fleets, load_status, save_status
from tasks.progress import report
from tasks.redact import without_secrets
from tasks.workplace import Workplace


@task(cache_policy=NO_CACHE)
def roll_out(place: Workplace, target: Target, canary: ReplicaSpec, production: str | None) -> RolloutStatus:
    """The status the rollout of ``canary`` ended or paused in; one that was interrupted goes on.

    ``production`` is the revision that the alias names. To what is stable already it gives up the rollout
    that is not over. Raises UsageError while another rollout holds the fleet, or when everybody would get
    the canary at once; HeadgateError when the fleet cannot be changed.
    """
    name, reason = target.fleet, f", {target.reason}" if target.reason else ""
    fleet = LocalFleet(place.home, name, without_secrets(os.environ))
    with (
        place.stage("rollout", f"{canary.revision} to the fleet {name}{reason}"),
        _alone(place.home, name),
    ):
        return drive(
            fleet,
            lambda status: save_status(place.fleet_store, name, status),
            target.plan,
            _begin(known_fleets(place.home), target, canary, production),
            now=time.time,
            sleep=time.sleep,
            on_event=_tell,
        )


def take_down(home: Home, fleet_name: str) -> None:
    """Stop the fleet's processes; a rollout that was not over is given up.

    Raises UsageError when there is no such fleet, HeadgateError when it cannot be stopped.
    """
    store, _ = DirStore(home.store), get_fleet(known_fleets(home), fleet_name)
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


def _begin(
    fleets: Sequence[KnownFleet], target: Target, canary: ReplicaSpec, production: str | None
) -> RolloutStatus:
    here = find_fleet(fleets, target.fleet)
    status = _started(here.status if here else None, target, canary)
    insist_on_canary(status, target.fleet, fleets, production)
    return replace(status, canary=canary, port=target.port, plan=target.plan)


def _started(last: RolloutStatus | None, target: Target, canary: ReplicaSpec) -> RolloutStatus:
    same = last is not None and last.canary.revision == canary.revision
    if last and same and (last.phase is Phase.SUCCEEDED or not last.phase.is_terminal):
        return last
    stable = _stable(last)
    if last and not last.phase.is_terminal:
        return _given_up(last, target, canary)
    if stable and stable.model != canary.model:
        raise UsageError(
            f"the fleet {target.fleet} serves {stable.model}, not {canary.model}",
            why="a canary is judged against the same model, and its users would lose theirs",
            next_step="name another fleet and port in the rollout section",
        )
    return start_rollout(canary.revision, canary=canary, stable=stable, port=target.port, now=time.time())


def _given_up(last: RolloutStatus, target: Target, canary: ReplicaSpec) -> RolloutStatus:
    """Everybody back on stable, if that is what is promoted; else UsageError: one rollout at a time."""
    stable, now = last.stable, time.time()
    if stable is None or stable.revision != canary.revision:
        raise _not_over(last, target.fleet)
    reason = f"the rollout of {last.canary.revision} was given up at {last.weight} %"
    report("rollout", reason)
    back = start_rollout(canary.revision, canary=canary, stable=stable, port=target.port, now=now)
    return replace(back, reason=reason)


def _not_over(last: RolloutStatus, fleet_name: str) -> UsageError:
    finish = f"promote {reference_of(last.canary)}"
    give_up = f"promote {reference_of(last.stable)}" if last.stable else "down"
    return UsageError(
        f"the rollout of {last.canary.revision} is not over: it is {last.phase} at {last.weight} %",
        why="a fleet rolls out one version at a time",
        next_step=f"`headgate {finish} --fleet {fleet_name}` finishes it, "
        f"`headgate {give_up} --fleet {fleet_name}` gives it up",
    )


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
    with explained(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process is rolling out to the fleet {fleet_name} now",
                next_step="wait for it, or stop it with Ctrl-C there; `headgate status` shows where it is",
            ) from None
        yield

"""Collect garbage: what live versions, fleets, pins and runs do not need leaves this machine's disk.

So does what no version names from the weights store. One that cannot be reached is told, and stays as it is.

The order matters: first the moment and the live runs, then the records. A run that ended before it was
looked for has written its records by then, and what a later one claims is younger than the moment.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.atomic import explained
from registry.errors import UsageError
from registry.garbage import Cutoff, Found, Kind, Retention, bytes_freed, plan
from registry.home import Home
from registry.sweep import Sweeper
from tasks.disk import in_words
from tasks.live_versions import LiveVersions
from tasks.progress import report
from tasks.run import live_runs
from tasks.sweep_weights import IN_WEIGHTS_STORE, WeightsSweeper, sweeper_of
from tasks.workplace import Workplace

STAGE = "gc"


@dataclass(frozen=True)
class Planned:
    """What goes, what is live and why, and the moment before which things must have been used to go."""

    going: list[Found]
    live: dict[str, list[str]]
    cutoff: Cutoff
    weights_store: WeightsSweeper | None = None

    def to_json(self, freed: dict[Kind, int], *, applied: bool) -> dict[str, Any]:
        """The plan as plain values, with the bytes that became free, or would."""
        kinds = [
            {"kind": str(kind), "count": sum(i.kind is kind for i in self.going), "bytes": freed[kind]}
            for kind in Kind
            if kind in freed
        ]
        return {
            "applied": applied,
            "live": self.live,
            "unused_since": datetime.fromtimestamp(self.cutoff.before, UTC).isoformat(timespec="seconds"),
            "kinds": kinds,
            "bytes": sum(freed.values()),
            "unseen": self.weights_store.trouble if self.weights_store else "",
        }


@task(cache_policy=NO_CACHE)
def collect_garbage(place: Workplace, retention: Retention, *, apply: bool) -> dict[str, Any]:
    """What goes and how many bytes that frees; nothing is removed unless ``apply``.

    Raises InfrastructureError when it cannot be told what is live: then everything stays.
    """
    with place.stage(STAGE, "looking for what is live"):
        if not apply:
            planned = make_plan(place, retention)
            return planned.to_json(bytes_freed(planned.going), applied=False)
        with _alone(place.home):
            planned = make_plan(place, retention)
            return planned.to_json(sweep(place.home, planned), applied=True)


def make_plan(place: Workplace, retention: Retention) -> Planned:
    """What would go now; raises InfrastructureError when it cannot be told what is live."""
    sweeper, weights_store = Sweeper(place.home, place.store_folder), sweeper_of(place)
    now = sweeper.blobs.now()
    alive = live_runs(place.home)
    cutoff = Cutoff.at(now, retention, alive.values())
    live = LiveVersions(place, retention, datetime.fromtimestamp(now, UTC))
    names = live.names()
    in_layout = sweeper.live_in_layout(names[Kind.IMAGE], cutoff.before)
    staying = {**names, **in_layout, Kind.RUN: set(alive)}
    staying[Kind.BLOB] = names[Kind.BLOB] | in_layout[Kind.BLOB]
    going = plan(sweeper.find(), staying, cutoff)
    if weights_store:
        going += weights_store.plan(live.named, names[Kind.WEIGHTS], cutoff)
    return Planned(going, live.reasons, cutoff, weights_store)


def sweep(home: Home, planned: Planned) -> dict[Kind, int]:
    """Remove what a plan says, unless it was claimed since; returns the bytes that became free, by kind."""
    sweeper = Sweeper(home)
    freed: dict[Kind, int] = {}
    for number, item in enumerate(planned.going, 1):
        if planned.weights_store and item.kind in IN_WEIGHTS_STORE:
            size = planned.weights_store.remove(item)
        else:
            size = sweeper.remove(item, planned.cutoff.of(item.kind))
        freed[item.kind] = freed.get(item.kind, 0) + size
        report(STAGE, f"{item.kind}: {in_words(freed[item.kind])}", number / len(planned.going))
    return freed


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    lock = home.root / "gc.lock"
    with explained(lock):
        file = lock.open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                "Another process is collecting garbage here", next_step="wait for it to end"
            ) from None
        yield

"""What is on record about the local fleets: how each one's last rollout went, and what each should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from fleet.local_files import FleetFiles
from fleet.roster import KnownFleet
from fleet.status import RolloutStatus
from registry.data_errors import worded
from registry.digest import canonical_json
from registry.dir_store import DirStore
from registry.errors import InfrastructureError
from registry.home import Home
from registry.store import Store, is_key

_FOLDER = "rollouts/"
_MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError)
T = TypeVar("T")


def load_status(store: Store, fleet_name: str) -> RolloutStatus | None:
    """The fleet's last rollout, or None before the first. Raises InfrastructureError."""
    key = _key(fleet_name)
    return _readable(f"the rollout status {key}", lambda: _parsed(store.get(key)))


def save_status(store: Store, fleet_name: str, status: RolloutStatus) -> None:
    """Replace the fleet's rollout status; the caller holds the fleet's lock, so nobody else writes."""
    key = _key(fleet_name)
    while not store.compare_and_swap(key, store.get(key), canonical_json(status.to_json())):
        pass


def known_fleets(home: Home) -> list[KnownFleet]:
    """Every fleet that was ever started here, by name; creates nothing. Raises InfrastructureError."""
    # They belong to this machine, whoever shares the registry.
    store = DirStore(home.store)
    names = {key.removeprefix(_FOLDER).removesuffix(".json") for key in store.list(_FOLDER)}
    names |= _readable(f"the folder {home.fleets}", lambda: _folders(home.fleets))
    return [_known(home, store, name) for name in sorted(names)]


def _folders(root: Path) -> set[str]:
    folders = root.iterdir() if root.is_dir() else ()
    return {path.name for path in folders if is_key(path.name) and FleetFiles(path).desired.exists()}


def _known(home: Home, store: Store, name: str) -> KnownFleet:
    files = FleetFiles(home.fleets / name)
    desired = _readable(f"what the fleet {name} wants", files.read_desired)
    return KnownFleet(name, load_status(store, name), desired)


def _readable(what: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except _MALFORMED as problem:
        raise InfrastructureError(
            f"{what[0].upper()}{what[1:]} cannot be read",
            why=worded(problem),
            next_step="restore it from a backup, or remove it if this fleet serves nobody",
        ) from problem


def _parsed(data: bytes | None) -> RolloutStatus | None:
    return RolloutStatus.from_json(json.loads(data)) if data else None


def _key(fleet_name: str) -> str:
    return f"{_FOLDER}{fleet_name}.json"

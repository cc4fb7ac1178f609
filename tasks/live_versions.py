"""What is live on this machine: versions that aliases, rollbacks, fleets and pins name, and what they need.

Whatever cannot be read here is an error, never an absence: on it hangs what may be removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path

from fleet.router import ReplicaSpec
from registry.alias_history import history
from registry.alias_log import all_aliases
from registry.alias_move import Move
from registry.data_errors import worded
from registry.errors import InfrastructureError
from registry.garbage import IN_A_FLEET, Kind, Retention, live_names, live_versions
from registry.manifest import Manifest
from registry.manifests import read_manifest
from registry.open_store import open_registry
from registry.pins import list_pins
from registry.publish import find_version, list_versions
from registry.store import Store
from registry.version import ModelVersion
from tasks.fleet_records import known_fleets
from tasks.workplace import Workplace

_MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class LiveVersions:
    """What is live at ``now`` (an aware time). Reads each record once, when it is first asked for."""

    place: Workplace
    retention: Retention
    now: datetime

    @cached_property
    def reasons(self) -> dict[str, list[str]]:
        """The references, each with why it is live, for people. Raises InfrastructureError."""
        return {reference: why for _, found in self._found for reference, why in found.items()}

    @cached_property
    def versions(self) -> list[tuple[ModelVersion, list[Manifest]]]:
        """The versions, each with the manifests of its weights and its source. Raises InfrastructureError."""
        return [
            (version, _manifests(store, version))
            for store, found in self._found
            for version in _versions(store, found)
        ]

    def names(self) -> dict[Kind, set[str]]:
        """The names of everything live versions and replicas need, by kind. Raises InfrastructureError."""
        names = live_names(self.versions)
        # By name as well: a fleet may serve what another store's version, or none any more, stands for.
        names[Kind.WEIGHTS] |= {name for spec in self._replicas for name in self._folders(spec)}
        return names

    def named(self) -> set[str]:
        """The sets (hex) that any version names, live or not. Raises InfrastructureError."""
        return {
            manifest.set_digest.hex
            for store, _ in self._found
            for version in list_versions(store)
            for manifest in _manifests(store, version)
        }

    @cached_property
    def _found(self) -> list[tuple[Store, dict[str, list[str]]]]:
        # What was released into the home before HEADGATE_STORE was set is not garbage.
        own = [open_registry({}, self.place.home)] if os.environ.get("HEADGATE_STORE") else []
        return [(store, self._in(store)) for store in (self.place.store, *own)]

    def _in(self, store: Store) -> dict[str, list[str]]:
        trust = self.place.trust
        aliases = all_aliases(store, trust)
        names = sorted({name for name, _ in aliases})
        moves = [move for name in names for move in _kept(store, _whole(history(store, trust, name)))]
        _check_records(store, moves)
        revisions = [spec.revision for spec in self._replicas]
        pins = [pin.version for pin in list_pins(store)]
        return live_versions(aliases, moves, revisions, pins, self.now, self.retention)

    @cached_property
    def _replicas(self) -> list[ReplicaSpec]:
        """What the local fleets serve, are about to serve, or go back to."""
        try:
            return [spec for fleet in known_fleets(self.place.home) for spec in fleet.replicas]
        except InfrastructureError as problem:
            raise InfrastructureError(
                f"It cannot be told what is live, and nothing was removed: {problem.what}",
                why=problem.why,
                next_step=problem.next_step,
            ) from problem

    def _folders(self, spec: ReplicaSpec) -> Iterator[str]:
        """The weights folders a replica loads from, by the request file in its command."""
        for path in map(Path, spec.argv):
            if path.parent == self.place.home.cache / "serve" and path.exists():
                try:
                    yield Path(json.loads(path.read_bytes())["model_dir"]).name
                except _MALFORMED as problem:
                    raise _unknown(f"the request file {path} of {spec.revision}", problem) from problem


def _whole(moves: list[Move]) -> list[Move]:
    """The moves, when none is missing: a lost one may have named a version to keep.

    Those that somebody who is trusted goes on without are not missing any more.
    """
    for (name, gpu_class), group in groupby(moves, key=lambda move: (move.name, move.gpu_class)):
        log = [*group]
        known = {move.number for move in log} | {n for move in log if move.signer for n in move.lost}
        if known != {*range(1, len(known) + 1)}:
            raise _unknown(f"the alias log of {name} on {gpu_class}", LookupError("moves are missing"))
    return moves


def _check_records(store: Store, moves: list[Move]) -> None:
    """Raises InfrastructureError when other content has the number that an alias was moved to."""
    for name, number, record in sorted({(m.name, m.target or 0, m.version) for m in moves}):
        version = find_version(store, f"{name}/{number}")
        if version and version.record_digest != record:
            raise _unknown(f"the version {name}/{number}", LookupError(f"its record was {record}"))


def _kept(store: Store, moves: list[Move]) -> Iterator[Move]:
    """The moves, less those away from a lost version that somebody goes on without: they keep nothing."""
    given_up = {(move.name, move.gpu_class) for move in moves if move.signer and move.lost}
    moved_to = {(move.name, move.target) for move in moves}
    for move in moves:
        name, number = move.name, move.before.production
        known = not number or (name, number) in moved_to or (name, move.gpu_class) not in given_up
        if known or find_version(store, f"{name}/{number}"):
            yield move


def _versions(store: Store, live: dict[str, list[str]]) -> Iterator[ModelVersion]:
    for reference, reasons in live.items():
        if version := find_version(store, reference):
            yield version
        elif reasons != [IN_A_FLEET]:
            raise _unknown(f"the version {reference} ({', '.join(reasons)})", LookupError("it is not there"))


def _manifests(store: Store, version: ModelVersion) -> list[Manifest]:
    found = []
    for digest in sorted({version.weights_manifest, version.source_manifest}):
        manifest = read_manifest(store, digest)
        if manifest is None:
            raise _unknown(f"the manifest {digest} of {version.reference}", LookupError("it is not there"))
        found.append(manifest)
    return found


def _unknown(what: str, problem: Exception) -> InfrastructureError:
    return InfrastructureError(
        f"It cannot be told what is live, and nothing was removed: {what} cannot be read",
        why=worded(problem),
        next_step="restore it from a backup, or see what `headgate reconcile` says; then try again",
    )

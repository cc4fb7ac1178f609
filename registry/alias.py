"""Movable names for immutable versions, per model and GPU class: candidate, production, previous.

All three live in one record that is swapped whole, so production and previous never disagree, and
rolling back needs nothing but this record. Which evidence allows a move is for the caller to judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from registry.digest import canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.publish import get_version
from registry.store import Store
from registry.version import check_name


@dataclass(frozen=True)
class Aliases:
    """Version numbers: what was released last, what is live, and what was live before it."""

    candidate: int | None = None
    production: int | None = None
    previous: int | None = None


def get_aliases(store: Store, name: str, gpu_class: str) -> Aliases:
    """The aliases of a model on a GPU class; all None before the first release."""
    return _parse(_key(name, gpu_class), store.get(_key(name, gpu_class)))


def move_candidate(store: Store, name: str, gpu_class: str, number: int) -> Aliases:
    """Point ``candidate`` at a published version of this GPU class, else UsageError."""
    _check_version(store, name, gpu_class, number)
    return _change(store, _key(name, gpu_class), lambda aliases: replace(aliases, candidate=number))


def promote(store: Store, name: str, gpu_class: str, number: int) -> Aliases:
    """Point ``production`` at a version and ``previous`` at what was live, in one step.

    Promoting what is live already changes nothing, so it can be repeated after a crash. Promoting
    ``previous`` is how production goes back. Raises UsageError for a number that is not published here.
    """
    _check_version(store, name, gpu_class, number)
    return _change(store, _key(name, gpu_class), lambda aliases: _promoted(aliases, number))


def _promoted(aliases: Aliases, number: int) -> Aliases:
    if aliases.production == number:
        return aliases
    return replace(aliases, production=number, previous=aliases.production)


def _check_version(store: Store, name: str, gpu_class: str, number: int) -> None:
    version = get_version(store, f"{name}/{number}")
    if version.gpu_class != gpu_class:
        raise UsageError(
            f"Version {version.reference} is not for the GPU class {gpu_class}",
            why=f"it was built and judged for {version.gpu_class}",
            next_step=f"release it for {gpu_class} first: another GPU class is another version",
        )


def _change(store: Store, key: str, change: Callable[[Aliases], Aliases]) -> Aliases:
    while True:
        current = store.get(key)
        wanted = change(_parse(key, current))
        new = canonical_json(asdict(wanted))
        if new == current or store.compare_and_swap(key, current, new):
            return wanted


def _parse(key: str, data: bytes | None) -> Aliases:
    if data is None:
        return Aliases()
    try:
        return Aliases(**json.loads(data))
    except (ValueError, TypeError) as problem:
        raise InfrastructureError(
            f"The alias record {key} cannot be read",
            why=str(problem),
            next_step="it was changed by hand or written by a newer Headgate: restore it, or upgrade",
        ) from problem


def _key(name: str, gpu_class: str) -> str:
    return f"aliases/{check_name(name)}/{check_name(gpu_class)}.json"

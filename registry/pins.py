"""Pins: versions that garbage collection leaves alone until somebody takes the pin out again.

A pin only keeps bytes. It promotes nothing and vouches for nothing, so it is not signed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from registry.data_errors import worded
from registry.digest import canonical_json
from registry.errors import InfrastructureError
from registry.store import Store
from registry.version import asked_reference, parse_reference

FORMAT = 1
_FOLDER = "pins/"


@dataclass(frozen=True)
class Pin:
    """Which version (``tiny/3``) is kept, by whom, why, and since when (ISO time in UTC).

    Raises ValueError for what is no version's reference.
    """

    version: str
    who: str
    why: str
    at: str

    def __post_init__(self) -> None:
        parse_reference(self.version)

    def to_bytes(self) -> bytes:
        """The record, which ``from_bytes`` reads back."""
        return canonical_json({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Pin:
        """Read a record; raises ValueError, KeyError or TypeError for anything else."""
        value = json.loads(data)
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}, this Headgate reads format {FORMAT}")
        return cls(*(str(value[name]) for name in ("version", "who", "why", "at")))


def pin(store: Store, wanted: Pin) -> None:
    """Keep the version's files; a pin it has already is replaced. That it exists is the caller's to know."""
    key = _key(wanted.version)
    while not store.compare_and_swap(key, store.get(key), wanted.to_bytes()):
        pass


def unpin(store: Store, version: str) -> bool:
    """Take the pin out; returns whether there was one. UsageError for what is no reference."""
    key = _key(version)
    there = store.get(key) is not None
    store.delete(key)
    return there


def list_pins(store: Store) -> list[Pin]:
    """All pins, by version; raises InfrastructureError for one that cannot be read."""
    found = [_read(store, key) for key in store.list(_FOLDER)]
    return sorted((pin for pin in found if pin), key=lambda pin: parse_reference(pin.version))


def _read(store: Store, key: str) -> Pin | None:
    data = store.get(key)
    if data is None:
        return None
    try:
        found = Pin.from_bytes(data)
        if _key(found.version) != key:
            raise ValueError(f"it pins {found.version}, in another pin's place")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise InfrastructureError(
            f"The pin {key} cannot be read",
            why=worded(problem),
            next_step="it was changed by hand, or a newer Headgate wrote it: pin it again, or upgrade",
        ) from problem
    return found


def _key(version: str) -> str:
    name, number = asked_reference(version)
    return f"{_FOLDER}{name}-{number}.json"

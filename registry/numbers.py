"""Which numbers of a model were given, as far as the store can tell: by records, index and a hint.

The hint is the newest number that somebody said was given. New numbers are above it, so that publishing
lists nothing. Where it was set back and the records above it are lost, publishing would give those numbers
again: ``reconcile`` compares it with the records and the alias logs, and raises it to what those name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from registry.store import Store
from registry.version import LAST_NUMBER, ModelVersion, check_name, is_name
from registry.version_record import INDEX, RECORDS, version_key

READERS = 16
"""How many records are read at a time: a listing on an object store is one round trip for each."""
NEWEST = "versions-newest/"
"""What the keys of the hints begin with."""

Index = Mapping[str, bytes | None]
"""The claims of the index from content to number, by their keys."""


def newest_key(name: str) -> str:
    """Where the hint is kept; ValueError for a malformed name."""
    return f"{NEWEST}{check_name(name)}"


def newest_known(store: Store, name: str) -> int:
    """The number that was newest when somebody last said so, or 0."""
    return number_in(store.get(newest_key(name)))


def remember_newest(store: Store, name: str, number: int) -> bool:
    """Keep that a number has been given: whatever becomes of its record, no other content gets it.

    Returns whether that was not known.
    """
    key, news = newest_key(name), False
    while number_in(known := store.get(key)) < number:
        news = store.compare_and_swap(key, known, str(number).encode()) or news
    return news


def known_names(store: Store, versions: Iterable[ModelVersion]) -> set[str]:
    """The names of these versions, and of every model with a hint, whatever is left of its records."""
    hints = (key.removeprefix(NEWEST) for key in store.list(NEWEST))
    return {*filter(is_name, hints), *(version.name for version in versions)}


def kept_numbers(store: Store, name: str) -> list[int]:
    """The numbers of all records, damaged ones too, sorted; a key that no reference names is no record."""
    stems = (PurePosixPath(key).stem for key in store.list(f"{RECORDS}{name}/"))
    return sorted(filter(None, map(number_in, stems)))


def lost_numbers(store: Store, name: str) -> list[int]:
    """The numbers of published versions whose records are gone from the store, sorted.

    The index still names them, and publishing went on from there. A claim above all others proves nothing:
    whoever made it may not have come to write the record.
    """
    newest = newest_known(store, name)  # first: what is published while this looks has a higher number
    kept = kept_numbers(store, name)
    gaps = {*range(1, max([newest, *kept]) + 1)} - {*kept}
    # Claims are many, and gaps are rare.
    missing = gaps & {*map(number_in, read_index(store, name).values())} if gaps else set()
    return sorted(n for n in missing if store.get(version_key(name, n)) is None)


def read_index(store: Store, name: str | None = None) -> Index:
    """All of the index, or a model's part of it."""
    keys = list(store.list(f"{INDEX}{name}/" if name else INDEX))
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(keys, pool.map(store.get, keys), strict=True))


def number_in(text: bytes | str | None) -> int:
    """The number of a version that this is, or 0 where it is none: what lies in a store may be anything."""
    is_one = text and len(text) <= len(str(LAST_NUMBER)) and text.isascii() and text.isdigit()
    return int(text or 0) if is_one else 0

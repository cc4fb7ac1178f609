"""Which numbers of a model were given, as far as the store can tell: by records, index and a hint.

The hint is the newest number that somebody said was given. New numbers are above it, so that publishing
lists nothing. Where it was set back and the records above it are lost, publishing would give those numbers
again: ``reconcile`` raises it to what is still known.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from registry.store import Store
from registry.version import LAST_NUMBER, check_name
from registry.version_record import INDEX, RECORDS, version_key

READERS = 16
"""How many records are read at a time: a listing on an object store is one round trip for each."""
_NEWEST = "versions-newest/"


def newest_key(name: str) -> str:
    """Where the hint is kept; ValueError for a malformed name."""
    return f"{_NEWEST}{check_name(name)}"


def newest_known(store: Store, name: str) -> int:
    """The number that was newest when somebody last said so, or 0."""
    return _number(store.get(newest_key(name)))


def remember_newest(store: Store, name: str, number: int) -> bool:
    """Keep that a number has been given: whatever becomes of its record, no other content gets it.

    Returns whether that was not known.
    """
    key, news = newest_key(name), False
    while _number(known := store.get(key)) < number:
        news = store.compare_and_swap(key, known, str(number).encode()) or news
    return news


def published(store: Store) -> set[str]:
    """The name of every model that a number was ever given to, whatever is left of its records."""
    return {key.partition("/")[2] for key in store.list(_NEWEST)}


def kept_numbers(store: Store, name: str) -> list[int]:
    """The numbers of all records, damaged ones too, sorted; a key that no reference names is no record."""
    stems = (PurePosixPath(key).stem for key in store.list(f"{RECORDS}{name}/"))
    return sorted(int(stem) for stem in stems if stem.isdigit() and int(stem) <= LAST_NUMBER)


def lost_numbers(store: Store, name: str) -> list[int]:
    """The numbers of published versions whose records are gone from the store, sorted.

    The index still names them, and publishing went on from there. A claim above all others proves nothing:
    whoever made it may not have come to write the record.
    """
    newest = newest_known(store, name)  # first: what is published while this looks has a higher number
    kept = kept_numbers(store, name)
    gaps = {*range(1, max([newest, *kept]) + 1)} - {*kept}
    missing = gaps & _claims(store, name) if gaps else set()  # claims are many, and gaps are rare
    return sorted(n for n in missing if store.get(version_key(name, n)) is None)


def _claims(store: Store, name: str) -> set[int]:
    """Every number that the index names."""
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(store.get, store.list(f"{INDEX}{name}/"))
        return {int(claim) for claim in found if claim and claim.isdigit()}


def _number(hint: bytes | None) -> int:
    number = int(hint) if hint and hint.isdigit() else 0
    return number if number <= LAST_NUMBER else 0

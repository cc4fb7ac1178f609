"""Copies a whole store into another one: a backup, a restore, a move between a folder and a bucket.

Nothing but a store is copied, and nothing else is written into: ``store_guard`` looks at both ends first.
The copy is one-way. What a store only ever adds to is copied once and never changed; what moves (aliases,
rollouts, pins) is read first and written last, so that a copy of a store in use is one it could have been
in a moment ago. A store that has something the source has not is never written to: it is no older copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from registry.alias_chain import Snapshot
from registry.data_errors import worded
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.numbers import NEWEST
from registry.plain_text import counted
from registry.store import PLACES, Store
from registry.store_guard import check_source, check_target
from registry.version_record import INDEX, RECORDS, parse_record

_MOVING = ("aliases/", "rollouts/", "pins/", NEWEST, INDEX)
"""What a store changes in place; a key that the source has no more is removed from the copy too."""
_LEFT_BEHIND = ("leases/",)
"""What belongs to processes that write to the source now."""
_NAMED_BY_CONTENT = ("evidence/", "manifests/")
_AT_ONCE = 16  # an object store answers each request slowly, and many at a time


@dataclass(frozen=True)
class Copied:
    """How many records a copy has, how many of them were new or changed, and how many were removed."""

    records: int
    written: int
    removed: int


def copy_store(source: Store, target: Store, heard: Callable[[int, int], None]) -> Copied:
    """Make ``target`` a copy of ``source``; again copies what is new. ``heard`` hears records done, and all.

    Every record is read back. Raises UsageError for a source that is no store or has no records, and a
    target that holds other things; Refused when the source has a damaged record, or the target one that the
    source has not or has otherwise; InfrastructureError when a store cannot be reached.
    """
    listed = [*_keys(source)]
    check_source(source, listed)
    check_target(target, [*_keys(target)])
    first = (key for key in _keys(source, _is_moving) if not key.startswith(INDEX))
    moving = {key: data for key in first if (data := source.get(key)) is not None}
    fixed = [*_keys(source, _is_fixed)]  # listed after the reads: what those records name is among them
    if ahead := sorted({*_keys(target, _is_fixed)} - {*fixed}):
        what = "The store to copy to is no older copy of the store to copy from"
        why = f"it has {counted(len(ahead), 'record')} of its own, such as {ahead[0]}"
        next_step = "name them the other way round, or choose an empty store; `headgate import` adds versions"
        raise Refused(what, why=why, next_step=next_step)
    written = removed = 0
    total = sum(key.startswith(PLACES) for key in listed)  # about: a store in use has more by the end
    with _pool() as pool:
        for number, new in enumerate(pool.map(partial(_copy_fixed, source, target), fixed), 1):
            written += new
            heard(number, total)
        # Claims are read last: a version's is older than its record, so every record copied has one.
        claims = list(source.list(INDEX))
        read = zip(claims, pool.map(source.get, claims), strict=True)
        moving |= {key: data for key, data in read if data is not None}
    total = len(fixed) + len(moving)
    for number, (key, data) in enumerate(moving.items(), len(fixed) + 1):
        written += _copy_moving(target, key, data)
        heard(number, total)
    for key in {*_keys(target, _is_moving)} - moving.keys():
        target.delete(key)
        removed += 1
    return Copied(total, written, removed)


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, nothing that has not begun


def _keys(store: Store, wanted: Callable[[str], bool] = lambda _key: True) -> Iterator[str]:
    return (key for key in store.list("") if not key.startswith(_LEFT_BEHIND) and wanted(key))


def _is_moving(key: str) -> bool:
    return key.startswith(_MOVING)


def _is_fixed(key: str) -> bool:
    return key.startswith(PLACES) and not _is_moving(key)


def _copy_fixed(source: Store, target: Store, key: str) -> bool:
    data = source.get(key)
    if data is None:
        return False
    _refuse_damage(key, data)
    written = target.get(key) is None and target.put_if_absent(key, data)
    if target.get(key) != data:
        what = f"The record {key} is another one in the store to copy to"
        why = "records are never changed, so the two stores have different histories"
        raise Refused(what, why=why, next_step="choose an empty store; `headgate import` adds versions")
    return written


def _refuse_damage(key: str, data: bytes) -> None:
    """Refused for a record that is not what its key says, as far as the record alone can tell."""
    why = ""
    try:
        if key.startswith(_NAMED_BY_CONTENT) and not key.endswith(f"/{Digest.of_bytes(data).hex}.json"):
            why = "it is not what its name says"
        elif key.startswith(RECORDS):
            parse_record(key, data)
        elif key.startswith("aliases/"):
            Snapshot.from_bytes(data)
    except InfrastructureError as problem:
        why = problem.why
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        why = f"it is no record of aliases: {worded(problem)}"
    if why:
        next_step = "restore it from a backup, or remove it, and copy again"
        raise Refused(f"The record {key} is damaged", why=why, next_step=next_step)


def _copy_moving(target: Store, key: str, data: bytes) -> bool:
    _refuse_damage(key, data)
    before = target.get(key)
    if before == data:
        return False
    if not target.compare_and_swap(key, before, data):
        what = f"Something else writes {key} in the store to copy to"
        next_step = "stop what uses that store, and copy again"
        raise InfrastructureError(what, why="it changed while it was copied", next_step=next_step)
    return True

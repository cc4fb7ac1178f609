"""What a number or a content stands for already, so that neither is given again; and what is said then.

The record of a version may be lost. Its number goes on meaning it: the alias logs say which record it had
when an alias was moved to it, whoever signed that and whatever was given up since. An alias record without
a log, from before there were any, names numbers too; nobody signed it, so no more than that follows from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import replace

from registry.alias import Aliases
from registry.alias_chain import Chain
from registry.alias_entries import read_entries
from registry.alias_move import Move
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.numbers import newest_key, newest_known
from registry.store import Store
from registry.trust import Trust
from registry.version import LAST_NUMBER, ModelVersion, is_name
from registry.version_record import version_key


def named_records(store: Store, name: str) -> dict[int, set[Digest]]:
    """Every number that the alias logs of a model name, and the records that it had."""
    named: dict[int, set[Digest]] = {}
    for move in (move for chain in _chains(store, name) for move in _moves(chain)):
        for number in _numbers(move.before, move.after):
            named.setdefault(number, set())
        if move.target in named:
            named[move.target].add(move.version)
    return named


def pointed_at(store: Store, name: str) -> dict[str, set[int]]:
    """The numbers that alias records without a log name, by the keys of those records."""
    named: dict[str, set[int]] = {}
    for chain in _chains(store, name):
        with contextlib.suppress(InfrastructureError):  # damaged: it names nothing, and others tell of it
            if not _moves(chain):
                named[chain.record_key] = _numbers(chain.saved()[1].aliases)
    return named


def who_names(store: Store, name: str, number: int) -> list[str]:
    """The keys of all that says that a number was given: its record, hint, alias logs and alias records."""
    keys = [newest_key(name)] if newest_known(store, name) == number else []
    for chain in _chains(store, name):
        named = (move.number for move in _moves(chain) if number in _numbers(move.before, move.after))
        keys += map(chain.entry_key, named)
    keys += (key for key, numbers in pointed_at(store, name).items() if number in numbers)
    own = version_key(name, number)
    return keys if store.get(own) is None else [own, *keys]


def _chains(store: Store, name: str) -> Iterator[Chain]:
    keys = [*store.list(f"aliases/{name}/"), *store.list(f"audit/{name}/")]
    for gpu_class in sorted({key.split("/")[2].removesuffix(".json") for key in keys}):
        if is_name(gpu_class):
            yield Chain(store, Trust(()), name, gpu_class)


def _moves(chain: Chain) -> list[Move]:
    return [entry.move for entry in read_entries(chain) if entry.move]


def _numbers(*states: Aliases) -> set[int]:
    """The numbers that these states name and that a reference can."""
    return {n for state in states for n in state.to_json().values() if n and n <= LAST_NUMBER}


def as_named(version: ModelVersion, records: Collection[Digest]) -> ModelVersion:
    """The version as a lost record had it, one of these, if any: its content, with the parent of then.

    Raises Refused, naming the digests, when it is none of them.
    """
    parents = [version.parent, None, *(f"{version.name}/{n}" for n in range(1, version.number))]
    for candidate in (replace(version, parent=parent) for parent in parents):
        if not records or candidate.record_digest in records:
            return candidate
    lost = f"with the record {' or '.join(sorted(map(str, records)))}, which is lost"
    raise Refused(
        _cannot_keep(version),
        why=f"by the alias log {version.reference} is other content, {lost}",
        next_step="restore that one from a backup or an export of it, or release this under another name or"
        " number: a reference means one thing for ever",
    )


def already(version: ModelVersion, kept: ModelVersion | None, number: int) -> Refused:
    """The error where ``kept`` has the number or the content of a version, or is about to get ``number``."""
    if kept is None:
        why = f"the same content is being published as {version.name}/{number}"
        step = "wait for that, or do it again if it was interrupted; then this version has that number"
    elif kept.content_digest == version.content_digest:
        why = f"the same content is {kept.reference} here, with the record {kept.record_digest}"
        step = f"use {kept.reference}: one content has one version"
    else:
        why = f"{kept.reference} is other content here, with the record {kept.record_digest}"
        step = "release it here under a name or number of its own: a reference means one thing for ever"
    return Refused(_cannot_keep(version), why=why, next_step=step)


def _cannot_keep(version: ModelVersion) -> str:
    return f"Cannot keep {version.reference} with the record {version.record_digest}"

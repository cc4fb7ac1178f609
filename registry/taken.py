"""What a number or a content stands for already, so that neither is given again; and what is said then.

The record of a version may be lost. Its number goes on meaning it: the alias logs say which record it had
when an alias was moved to it, whoever signed that and whatever was given up since.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import replace

from registry.alias_chain import Chain
from registry.alias_entries import read_entries
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.store import Store
from registry.trust import Trust
from registry.version import LAST_NUMBER, ModelVersion


def named_records(store: Store, name: str) -> dict[int, set[Digest]]:
    """Every number that an alias of a model points or pointed at, and the records that it had."""
    named: dict[int, set[Digest]] = {}
    keys = [*store.list(f"aliases/{name}/"), *store.list(f"audit/{name}/")]
    for gpu_class in {key.split("/")[2].removesuffix(".json") for key in keys}:
        chain = Chain(store, Trust(()), name, gpu_class)
        moves = [entry.move for entry in read_entries(chain) if entry.move]
        states = [state for move in moves for state in (move.before, move.after)]
        with contextlib.suppress(InfrastructureError):  # damaged: it names nothing, and others tell of it
            states.append(chain.saved()[1].aliases)
        for number in (n for state in states for n in state.to_json().values() if n):
            named.setdefault(number, set())
        for move in moves:
            named[move.target or 0].add(move.version)
    return {number: records for number, records in named.items() if number <= LAST_NUMBER}


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

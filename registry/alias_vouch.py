"""A person signs for the aliases of a model as they are: when a key is gone, or moves are gone for good.

Only a person can know that they are right, so nothing calls this by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from registry.alias import Alias
from registry.alias_chain import Chain, Snapshot
from registry.alias_entries import GAP, Entry, lost_numbers, read_entries
from registry.alias_log import iso_time, next_move, version_for
from registry.bundle import Signer
from registry.errors import InfrastructureError
from registry.remembered_store import memory_of
from registry.store import Store
from registry.trust import Trust

_MOST_LOST = 1000  # entries after the last: an alias record is not signed, and may claim any number


@dataclass(frozen=True)
class _Standing:
    """A log as it is: its record's bytes, the state after its newest whole entry, its lost entries."""

    data: bytes | None
    state: Snapshot
    lost: tuple[int, ...] = ()
    number: int = 0
    """Of the entry to add: no number is given twice."""


def vouch(
    store: Store,
    signer: Signer,
    trust: Trust,
    *,
    name: str,
    gpu_class: str,
    at: datetime,
    who: str,
    why: str,
    run: str | None = None,
    restored: bool = False,
) -> bool:
    """Sign for the aliases as they are, when nobody trusted has: a record of format 1, a key that is gone.

    Adds an entry that moves nothing; returns whether it did, as there is nothing to sign for when the last
    one is trusted or there are no aliases. ``restored`` goes on without moves that are gone, and signs a
    trusted log as well: without what this home has seen, for a store that is an older one on purpose, and
    without entries that are lost, which the new one names. Raises as ``alias_log.move_alias``.
    """
    chain = Chain(store, trust, name, gpu_class, anyone=True, restored=restored)
    while True:
        now = _as_it_is(chain) if restored else _whole(chain)
        if restored and (memory := memory_of(store)):
            memory.forget(name, gpu_class)  # not before: a log that cannot be read is no reason to
        last = chain.read(now.state.move) if now.state.move else None
        aliases = now.state.aliases
        pointing = [(alias, number) for alias in reversed(Alias) if (number := aliases.at(alias))]
        if not pointing or (last and last.signer and not restored):
            return False
        alias, number = pointing[0]
        version = version_for(store, name, gpu_class, number)
        move = replace(
            next_move(chain, now.state, alias, version), number=now.number, at=iso_time(at), who=who, why=why
        )
        if chain.append(replace(move, run=run, lost=now.lost), signer):
            if signed := chain.read(now.number):
                store.compare_and_swap(chain.record_key, now.data, Snapshot.of(signed).to_bytes())
            chain.settle()
            return True


def _whole(chain: Chain) -> _Standing:
    """A log of which nothing is lost; InfrastructureError for another."""
    state = chain.settle()
    if lost := lost_numbers(read_entries(chain), state.move):
        raise chain.lost(lost)
    return _Standing(chain.saved()[0], state, number=state.move + 1)


def _as_it_is(chain: Chain) -> _Standing:
    """A log, whatever is lost of it; InfrastructureError where only its record, unsigned, is left."""
    data = chain.store.get(chain.record_key)
    record = _record(chain)
    entries = read_entries(chain)
    end = _end(entries, record)
    if end is None and (record is None or record.move):
        raise chain.only_record()
    memory = memory_of(chain.store)
    seen = memory.seen(chain.name, chain.gpu_class) if memory else None
    claims = [seen.number if seen else 0, record.move if record else 0]
    last = max([len(entries), *(n for n in claims if n <= len(entries) + _MOST_LOST)])
    gone = (*lost_numbers(entries, end.number if end else 0), *range(len(entries) + 1, last + 1))
    state = Snapshot.of(end.move) if end and end.move else record or Snapshot()
    return _Standing(data, state, gone, last + 1)


def _record(chain: Chain) -> Snapshot | None:
    """What the alias record says, None when it cannot be read."""
    try:
        return chain.saved()[1]
    except InfrastructureError:
        return None


def _end(entries: list[Entry], record: Snapshot | None) -> Entry | None:
    """The newest entry that follows the one before it, or that the record confirms."""
    whole = (e for e in reversed(entries) if e.move and not e.given_up)
    confirmed = (e for e in whole if e.broken in {"", GAP} or (e.move and Snapshot.of(e.move) == record))
    return next(confirmed, None)

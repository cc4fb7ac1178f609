"""A person signs for the aliases of a model as they are: when a key, moves or versions are gone for good.

Only a person can know that they are right, so nothing calls this by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from registry.alias import Alias, Aliases
from registry.alias_astray import Astray, check_none, check_some_left, find_astray
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
class Vouched:
    """What came of it: whether an entry was ``signed``, the numbers of the moves that are given up, and the
    numbers of the versions that aliases named by the record, or by their log, and do not any more.
    """

    signed: bool
    lost: tuple[int, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Standing:
    """A log as it is: its record's bytes, the state after its newest whole entry, its lost entries.

    ``number`` is that of the entry to add: none is given twice. ``claimed``: what the record says.
    """

    data: bytes | None
    state: Snapshot
    astray: Astray
    lost: tuple[int, ...] = ()
    number: int = 0
    claimed: Aliases = field(default_factory=Aliases)

    @property
    def aliases(self) -> Aliases:
        """What there is to sign for."""
        return self.astray.without(self.state.aliases)

    @property
    def dropped(self) -> dict[str, int]:
        """What the aliases named, and do not any more."""
        before = {**self.state.aliases.to_json(), **{k: v for k, v in self.claimed.to_json().items() if v}}
        after = self.aliases.to_json()
        return {alias: number for alias, number in before.items() if number and after[alias] != number}


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
) -> Vouched:
    """Sign for the aliases as they are, when nobody trusted has: a record of format 1, a key that is gone.

    Adds an entry that moves nothing, unless the last one is trusted or there are no aliases. ``restored``
    goes on without moves that are gone, and signs a trusted log as well: without what this home has seen,
    for a store that is an older one on purpose, and without entries that are lost or whose versions are,
    which the new one names; no alias names such a version then. Raises as ``alias_log.move_alias``, and
    InfrastructureError for versions that are lost, where they are not gone on without.
    """
    chain = Chain(store, trust, name, gpu_class, anyone=True, restored=restored)
    while True:
        now = _as_it_is(chain) if restored else _whole(chain)
        pointing = [(alias, number) for alias in reversed(Alias) if (number := now.aliases.at(alias))]
        check_some_left(chain, now.state.aliases, now.astray)
        if restored and (memory := memory_of(store)):
            memory.forget(name, gpu_class)  # not before: a log that cannot be read is no reason to
        last = chain.read(now.state.move) if now.state.move else None
        if not pointing or (last and last.signer and not restored):
            return Vouched(signed=False, lost=now.lost)
        alias, number = pointing[0]
        version = version_for(store, name, gpu_class, number)
        state = replace(now.state, aliases=now.aliases)
        move = replace(next_move(chain, state, alias, version), number=now.number, at=iso_time(at), who=who)
        if chain.append(replace(move, why=why, run=run, lost=now.lost), signer):
            if signed := chain.read(now.number):
                store.compare_and_swap(chain.record_key, now.data, Snapshot.of(signed).to_bytes())
            chain.settle()
            return Vouched(signed=True, lost=now.lost, dropped=now.dropped)


def _whole(chain: Chain) -> _Standing:
    """A log of which nothing is lost, and none of its versions; InfrastructureError for another."""
    state = chain.settle()
    entries = read_entries(chain)
    if lost := lost_numbers(entries, state.move):
        raise chain.lost(lost)
    astray = find_astray(chain, entries, state)
    check_none(chain, astray)
    return _Standing(chain.saved()[0], state, astray, number=state.move + 1)


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
    astray = find_astray(chain, entries, state)
    lost = tuple(sorted({*gone, *astray.moves}))
    return _Standing(data, state, astray, lost, last + 1, record.aliases if record else Aliases())


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

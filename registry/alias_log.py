"""The aliases of a model on a GPU class, and every signed move that led to them: who, when, why, from, to.

How they lie in the store is ``alias_chain``'s, what was moved when ``alias_history``'s; which evidence allows
a move is ``policy``'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from registry.alias import Alias, Aliases, moved
from registry.alias_chain import Chain, Snapshot
from registry.alias_move import Move
from registry.bundle import Signer
from registry.digest import Digest
from registry.errors import InfrastructureError, UsageError
from registry.numbers import remember_newest
from registry.publish import get_version
from registry.remembered_store import memory_of
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion, check_name

__all__ = [
    "Move",
    "all_aliases",
    "get_aliases",
    "lags",
    "move_alias",
    "places",
    "roll_forward",
]


def get_aliases(store: Store, trust: Trust, name: str, gpu_class: str) -> Aliases:
    """The aliases as the log has them; all None before the first release.

    Raises InfrastructureError when the record or its entry was changed, when nobody trusted signed it, or
    when this home has seen moves that are gone (of a ``RememberedStore``).
    """
    return Chain(store, trust, name, gpu_class).latest()[1].aliases


def all_aliases(store: Store, trust: Trust, name: str | None = None) -> dict[tuple[str, str], Aliases]:
    """The aliases of every model (or of this one) by name and GPU class; raises as ``get_aliases``."""
    return {place: get_aliases(store, trust, *place) for place in places(store, name)}


def move_alias(
    store: Store,
    signer: Signer,
    trust: Trust,
    *,
    name: str,
    gpu_class: str,
    alias: Alias,
    number: int,
    at: datetime,
    who: str,
    why: str,
    run: str | None = None,
    record: Digest | None = None,
) -> Aliases:
    """Point an alias at a published version of this GPU class; returns all aliases after it.

    ``at`` is an aware time, ``record`` the record digest of the version that was judged. Moving an alias
    to where it is already adds no entry. Raises UsageError for a number that is not published or is another
    GPU class's, InfrastructureError as ``get_aliases``, and when the number has another record by now.
    """
    version = version_for(store, name, gpu_class, number)
    if record not in (None, version.record_digest):
        raise InfrastructureError(
            f"The record of {version.reference} has been changed, and nothing was moved",
            why=f"what was judged is {record}, in the store is {version.record_digest} now",
            next_step="find out who writes to the store, and restore the record from a backup",
        )
    remember_newest(store, name, number)  # its publisher may have died before
    chain = Chain(store, trust, name, gpu_class)
    while True:
        now = chain.settle()
        after = moved(now.aliases, alias, number)
        if after == now.aliases:
            return after
        move = replace(next_move(chain, now, alias, version), at=iso_time(at), who=who, why=why, run=run)
        if chain.append(move, signer):
            chain.settle()
            return after


def lags(store: Store, trust: Trust, name: str, gpu_class: str) -> bool:
    """Whether an alias record only has to be brought up to date with its log, which can be believed."""
    try:
        data, snapshot = Chain(store, trust, name, gpu_class).latest()
    except InfrastructureError:
        return False
    return snapshot.move > 0 and data != snapshot.to_bytes()


def roll_forward(store: Store, trust: Trust, name: str, gpu_class: str) -> bool:
    """Bring an alias record that lags up to date with its log; returns whether it lagged."""
    chain = Chain(store, trust, name, gpu_class)
    data, snapshot = chain.latest()
    chain.settle()
    return snapshot.move > 0 and data != snapshot.to_bytes()


def next_move(chain: Chain, now: Snapshot, alias: Alias, version: ModelVersion) -> Move:
    """The entry after this state that moves an alias to a version; who, when and why are still to be said."""
    return Move(
        number=now.move + 1,
        name=chain.name,
        gpu_class=chain.gpu_class,
        alias=alias,
        before=now.aliases,
        after=moved(now.aliases, alias, version.number),
        version=version.record_digest,
        previous=now.entry,
    )


def iso_time(at: datetime) -> str:
    """An aware time as entries have it: ISO, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def version_for(store: Store, name: str, gpu_class: str, number: int) -> ModelVersion:
    """The version of this number; UsageError when there is none, or it is another GPU class's."""
    version = get_version(store, f"{name}/{number}")
    if version.gpu_class != gpu_class:
        raise UsageError(
            f"Version {version.reference} is not for the GPU class {gpu_class}",
            why=f"it was built and judged for {version.gpu_class}",
            next_step=f"release it for {gpu_class} first: another GPU class is another version",
        )
    return version


def places(store: Store, name: str | None = None) -> list[tuple[str, str]]:
    """The models and GPU classes that have a record or a log, or had one: each may be missing."""
    try:
        under = f"{check_name(name)}/" if name else ""
    except ValueError as problem:
        raise UsageError(str(problem), next_step="`headgate versions` lists every name") from problem
    records = (key.removesuffix(".json").split("/") for key in store.list(f"aliases/{under}"))
    entries = (key.rpartition("/")[0].split("/") for key in store.list(f"audit/{under}"))
    memory = memory_of(store)
    seen = memory.places(name) if memory else []
    return sorted({*seen, *((parts[1], parts[2]) for parts in (*records, *entries) if len(parts) == 3)})

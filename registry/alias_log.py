"""The aliases of a model on a GPU class, and every signed move that led to them: who, when, why, from, to.

How they lie in the store is ``alias_chain``'s; which evidence allows a move is ``policy``'s.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from registry.alias import Alias, Aliases, moved
from registry.alias_chain import Chain, Snapshot
from registry.alias_entries import read_entries
from registry.alias_move import Move
from registry.bundle import Signer
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError, UsageError
from registry.publish import get_version
from registry.remembered_store import memory_of
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion, check_name

__all__ = [
    "Move",
    "all_aliases",
    "check_log",
    "cut_log",
    "get_aliases",
    "history",
    "live_since",
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


def roll_forward(store: Store, trust: Trust, name: str, gpu_class: str) -> bool:
    """Bring an alias record that lags up to date with its log; returns whether it lagged."""
    chain = Chain(store, trust, name, gpu_class)
    data, snapshot = chain.latest()
    chain.settle()
    return snapshot.move > 0 and data != snapshot.to_bytes()


def history(store: Store, trust: Trust, name: str, gpu_class: str | None = None) -> list[Move]:
    """Every move of a model's aliases, by GPU class and number; one to doubt says why.

    Raises InfrastructureError for an entry that cannot be read, UsageError for a malformed name.
    """
    found: list[Move] = []
    for place in places(store, name):
        if gpu_class in (None, place[1]):
            for entry in read_entries(Chain(store, trust, *place)):
                if entry.damage and not entry.given_up:
                    raise entry.damage
                found += [_doubted(entry.move, entry.broken)] if entry.move and not entry.given_up else []
    return found


def live_since(store: Store, trust: Trust, version: ModelVersion) -> datetime | None:
    """When a version was first in production here, in UTC, or None when no trusted key put it there.

    A key that is trusted now has to have moved production to it, or vouched for it there or in ``previous``.
    The earliest such entry dates it, whoever signed that one: an earlier date only makes more harm count.
    What is missing or damaged says nothing (``check_log`` names it), nor does a log that has another record
    under its number.
    """
    chain = Chain(store, trust, version.name, version.gpu_class)
    whole = [e.move for e in read_entries(chain) if e.move and not e.given_up and not e.broken]
    trusted = [move for move in whole if move.signer]
    if any(m.target == version.number and m.version != version.record_digest for m in trusted):
        return None
    if not any(move.makes_live(version.number) for move in trusted):
        return None
    return min(datetime.fromisoformat(m.at) for m in whole if m.makes_live(version.number))


def check_log(store: Store, trust: Trust, name: str, gpu_class: str) -> list[str]:
    """A sentence for everything that is wrong with an alias record and its log; empty when nothing is.

    A record that only lags behind its log is among them: ``roll_forward`` mends that. An entry nobody
    trusted signed is none when a trusted one follows: that one signs for the whole chain before it.
    """
    chain = Chain(store, trust, name, gpu_class)
    problems: list[str] = []
    unsigned: list[str] = []
    last: Move | None = None
    for entry in (e for e in read_entries(chain) if not e.given_up):
        subject, move = f"The alias move {chain.entry_key(entry.number)}", entry.move
        if entry.damage:
            problems.append(entry.damage.problem)
        elif move is None:
            problems.append(f"{subject} is missing, and a later one is there.")
        else:
            why = [reason for reason in (entry.broken, _other_version(store, move)) if reason]
            problems += [f"{subject} cannot be believed: {reason}." for reason in why]
            unsigned = [*unsigned, f"{subject} cannot be believed: {move.doubt}."] if move.doubt else []
        last = move
    cut = cut_log(store, trust, name, gpu_class)
    return [*([cut] if cut else []), *problems, *unsigned, *_record_problems(chain, last)]


def cut_log(store: Store, trust: Trust, name: str, gpu_class: str) -> str:
    """A sentence when this home has seen moves of a log that are gone, else nothing."""
    chain = Chain(store, trust, name, gpu_class)
    seen = chain.seen()  # before the log is listed
    problem = chain.cut(seen, chain.numbers().stop - 1)
    return f"The alias log of {name} on {gpu_class} was cut off: {problem}." if problem else ""


def _record_problems(chain: Chain, last: Move | None) -> list[str]:
    try:
        data, record = chain.saved()
        named = chain.read(record.move) if record.move else None
    except InfrastructureError as damage:
        return [damage.problem]
    if problem := chain.record_problem(record, named):
        return [f"The alias record {chain.record_key} cannot be believed: {problem}."]
    if data is not None and not last:
        upgrade = "it was written before moves were signed; `headgate vouch` signs for it as it is"
        return [f"The alias record {chain.record_key} is not signed: {upgrade}."]
    if last and (data is None or record.move < last.number):
        lag = f"it is at move {record.move} of {last.number}; `headgate reconcile` mends it"
        return [f"The alias record {chain.record_key} lags behind its log: {lag}."]
    return []


def _doubted(move: Move, broken: str) -> Move:
    return replace(move, doubt="; ".join(reason for reason in (move.doubt, broken) if reason))


def _other_version(store: Store, move: Move) -> str:
    try:
        version = get_version(store, f"{move.name}/{move.target}")
    except HeadgateError as problem:
        return problem.problem.rstrip(".")
    if version.record_digest == move.version:
        return ""
    return f"it was made for {move.version}, but the record of {version.reference} is {version.record_digest}"


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

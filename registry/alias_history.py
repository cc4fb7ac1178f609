"""What an alias log tells: every move that can be read, since when a version was live, what is wrong with it.

How moves are made is ``alias_log``'s, how they lie in the store ``alias_chain``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from registry.alias_chain import Chain
from registry.alias_entries import Entry, disbelieved, missing, read_entries
from registry.alias_log import places
from registry.alias_move import Move
from registry.errors import InfrastructureError, UsageError
from registry.problem import Problem
from registry.publish import RecordGone, get_version
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion

RECORD_HELPS = (
    "put the version's record back from a backup; where there is none, remove what lies in its place and"
    " import the version again"
)
"""What helps where the record of a version that a move points at is gone, or another now."""


@dataclass(frozen=True)
class Log:
    """The entries of one log: its moves by number, why some do not follow, and those that cannot be read.

    ``wrong`` has a sentence for each entry that is missing or damaged, or does not follow the one before
    it, and for a log that was cut off, as far as this home has seen it.
    """

    moves: Mapping[int, Move]
    breaks: Mapping[int, str]
    unreadable: Mapping[int, InfrastructureError]
    wrong: tuple[str, ...]

    @property
    def told(self) -> list[Move]:
        """The moves for people: each with everything there is to doubt about it."""
        return [_doubted(move, self.breaks.get(number, "")) for number, move in self.moves.items()]

    @property
    def named(self) -> set[int]:
        """The numbers of all versions that an alias ever pointed at."""
        states = [state for move in self.moves.values() for state in (move.before, move.after)]
        return {number for state in states for number in state.to_json().values() if number}

    @property
    def last_trusted(self) -> int:
        """The number of the last move that a trusted key signed: it signs for the chain before it. Or 0."""
        return max((number for number, move in self.moves.items() if move.signer), default=0)

    @property
    def signed_for(self) -> list[Move]:
        """The moves in doubt that are none the less believed, as a trusted one follows them."""
        last = self.last_trusted
        return [m for n, m in self.moves.items() if m.doubt and n < last and n not in self.breaks]

    def live_since(self, version: ModelVersion) -> datetime | None:
        """When a version was first in production here, in UTC, or None when no trusted key put it there.

        A key that is trusted now has to have moved production to it, or vouched for it there or in
        ``previous``. The earliest such entry dates it, whoever signed that one: an earlier date only makes
        more harm count. What is ``wrong`` says nothing, nor does a log that has another record under the
        version's number.
        """
        whole = [move for number, move in self.moves.items() if number not in self.breaks]
        trusted = [move for move in whole if move.signer]
        if any(m.target == version.number and m.version != version.record_digest for m in trusted):
            return None
        if not any(move.makes_live(version.number) for move in trusted):
            return None
        return min(datetime.fromisoformat(m.at) for m in whole if m.makes_live(version.number))


def read_log(store: Store, trust: Trust, name: str, gpu_class: str) -> Log:
    """All that can be read of a log: an entry that cannot be hides no other.

    Raises UsageError for malformed names, InfrastructureError when the store cannot be reached.
    """
    return log_of(Chain(store, trust, name, gpu_class))


def log_of(chain: Chain) -> Log:
    """The same, of this chain."""
    seen = chain.seen()  # before the log is listed
    entries = read_entries(chain)
    counted = [entry for entry in entries if not entry.given_up]
    damaged = {entry.number for entry in counted if entry.damage}
    cut = "" if seen and seen.number in damaged else chain.cut(seen, len(entries))
    wrong = [f"The alias log of {chain.name} on {chain.gpu_class} was cut off: {cut}."] if cut else []
    return Log(
        moves={e.number: e.move for e in counted if e.move},
        breaks={e.number: e.broken for e in counted if e.broken},
        unreadable={e.number: e.damage for e in counted if e.damage},
        wrong=(*wrong, *(told for e in counted if (told := _problem(chain, e)))),
    )


def history(store: Store, trust: Trust, name: str, gpu_class: str | None = None) -> list[Move]:
    """Every move of a model's aliases, by GPU class and number; one to doubt says why.

    Raises InfrastructureError for an entry that cannot be read, UsageError for a malformed name.
    """
    found: list[Move] = []
    for place in places(store, name):
        if gpu_class in (None, place[1]):
            log = read_log(store, trust, *place)
            for damage in log.unreadable.values():
                raise damage
            found += log.told
    return found


def check_log(store: Store, trust: Trust, name: str, gpu_class: str) -> list[str]:
    """A sentence for everything that is wrong with an alias record and its log; empty when nothing is.

    A record that only lags behind its log is among them: ``roll_forward`` mends that. An entry nobody
    trusted signed is none when a trusted one follows: that one signs for the whole chain before it.
    """
    chain = Chain(store, trust, name, gpu_class)
    return [fault.what for fault in faults(chain, log_of(chain))]


def faults(chain: Chain, log: Log) -> list[Problem]:
    """The same, each with what helps, of a log that was read; a record that lags is harmless."""
    return [
        *(Problem(wrong, chain.put_back) for wrong in log.wrong),
        *(Problem(other, RECORD_HELPS) for other in swapped(chain, log)),
        *(Problem(doubt, chain.doubted) for doubt in _unsigned(chain, log)),
        *_record_problems(chain, log),
    ]


def swapped(chain: Chain, log: Log, number: int | None = None) -> list[str]:
    """A sentence for each move, or each to this version, whose version's record is gone or another now."""
    moves = [move for move in log.moves.values() if number in (None, move.target)]
    found = {n: _find(chain, n) for n in {move.target for move in moves}}
    told = ((move, _other_version(move, found[move.target])) for move in moves)
    return [disbelieved(chain, problem, move.number) for move, problem in told if problem]


def _problem(chain: Chain, entry: Entry) -> str:
    """What is wrong with an entry, or nothing."""
    if entry.damage:
        return entry.damage.problem
    if entry.move is None:
        return missing(chain, entry.number)
    return disbelieved(chain, entry.broken, entry.number) if entry.broken else ""


def _unsigned(chain: Chain, log: Log) -> list[str]:
    """A sentence for the moves after the last trusted one, together where one reason holds for all."""
    last = log.last_trusted
    doubted = groupby((m for n, m in log.moves.items() if n > last), key=lambda move: move.doubt)
    return [disbelieved(chain, doubt, *(move.number for move in moves)) for doubt, moves in doubted]


def _record_problems(chain: Chain, log: Log) -> list[Problem]:
    last = max([0, *log.moves, *log.unreadable])
    try:
        data, record = chain.saved()
        named = chain.read(record.move) if record.move else None
    except InfrastructureError as damage:
        return [] if damage.problem in log.wrong else [Problem(damage.problem, damage.next_step)]
    where = f"The alias record {chain.record_key}"
    first = None if record.move or data is None else log.moves.get(1)  # format 1 says what came before it
    if problem := chain.record_problem(record, named) or (record.break_before(first) if first else ""):
        return [Problem(f"{where} cannot be believed: {problem}.", chain.put_back)]
    if data is not None and not last:
        why = "it was written before moves were signed"
        return [Problem(f"{where} is not signed: {why}.", f"look at it, and {chain.sign}")]
    if last in log.moves and (data is None or record.move < last):
        lag = f"it is at move {record.move} of {last}"
        mends = "`headgate reconcile --apply` brings it up to date"
        return [Problem(f"{where} lags behind its log: {lag}.", mends, harmless=True)]
    return []


def _doubted(move: Move, problem: str) -> Move:
    return replace(move, doubt="; ".join(reason for reason in (move.doubt, problem) if reason))


def _find(chain: Chain, number: int | None) -> ModelVersion | str:
    """The version of this number, or why there is none."""
    try:
        return get_version(chain.store, f"{chain.name}/{number}")
    except (UsageError, RecordGone):
        return f"the record of {chain.name}/{number}, which it points at, is gone from the store"
    except InfrastructureError as problem:
        return problem.problem.rstrip(".")


def _other_version(move: Move, found: ModelVersion | str) -> str:
    if isinstance(found, str):
        return found
    if found.record_digest == move.version:
        return ""
    return f"it was made for {move.version}, but the record of {found.reference} is {found.record_digest}"

"""How alias moves lie in a store: a chain of signed entries, and the record that is a snapshot of its end.

Creating entry n + 1 is the move: of two movers one creates it, the other looks again. One compare-and-swap
then brings the record up to date. The record may lag behind the chain, when a mover died or an old copy
was put back: readers go by the chain, and the next mover mends the record. It can never be ahead of the
chain, or say something else: that is tampering, and an error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from registry.alias import Aliases
from registry.alias_move import Move
from registry.bundle import Signer, seal
from registry.data_errors import worded
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.evidence import read_evidence
from registry.log_memory import Seen
from registry.predicates import ALIAS_MOVE
from registry.remembered_store import memory_of
from registry.store import Store
from registry.trust import Trust
from registry.version import check_name

FORMAT = 2
"""Of the alias record. Format 1 had no chain and no ``staging``: it is read as what came before any entry."""

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)
_READERS = 16  # an object store answers each request slowly, and many at a time


@dataclass(frozen=True)
class Snapshot:
    """What the alias record says: the aliases after a move, and which entry of the chain that is."""

    aliases: Aliases = field(default_factory=Aliases)
    move: int = 0
    entry: Digest | None = None

    @classmethod
    def of(cls, move: Move) -> Snapshot:
        """The state after a move that was read."""
        return cls(move.after, move.number, move.digest)

    def to_bytes(self) -> bytes:
        """The record as it is kept; only of a state that an entry led to."""
        pointer = {"move": self.move, "entry": str(self.entry)}
        return canonical_json({"format": FORMAT, **self.aliases.to_json(), **pointer})

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Read a record; raises KeyError, TypeError, AttributeError or ValueError for anything else."""
        value = json.loads(data)
        if value.keys() == {"candidate", "production", "previous"}:  # format 1
            return cls(Aliases.from_json({"staging": None, **value}))
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}, this Headgate reads up to format {FORMAT}")
        snapshot = cls(Aliases.from_json(value), int(value["move"]), Digest.parse(value["entry"]))
        if snapshot.move < 1 or snapshot.to_bytes() != data:
            raise ValueError("it is not as Headgate writes it")
        return snapshot

    def break_before(self, move: Move) -> str:
        """Why this move does not follow this state, or nothing.

        One that goes on without lost moves says itself where the aliases are.
        """
        if move.previous != self.entry:
            return f"it follows the entry {move.previous}, but the one before it is {self.entry}"
        if move.before != self.aliases and not move.lost:
            return f"it moves {move.alias} from {move.before}, but the aliases were {self.aliases}"
        return ""


@dataclass(frozen=True)
class Chain:
    """The chain of one model on one GPU class. ``anyone``: entries count whoever signed them; ``restored``:
    also where this home has seen more of them.

    Raises UsageError for malformed names, InfrastructureError for what was changed or is not trusted.
    """

    store: Store
    trust: Trust
    name: str
    gpu_class: str
    anyone: bool = False
    restored: bool = False

    def __post_init__(self) -> None:
        try:
            check_name(self.name)
            check_name(self.gpu_class)
        except ValueError as problem:
            raise UsageError(str(problem), next_step="`headgate versions` lists what there is") from problem

    @property
    def record_key(self) -> str:
        """Where the record is kept."""
        return f"aliases/{self.name}/{self.gpu_class}.json"

    def entry_key(self, number: int) -> str:
        """Where an entry is kept."""
        return f"audit/{self.name}/{self.gpu_class}/{number:08d}.json"

    def saved(self) -> tuple[bytes | None, Snapshot]:
        """The record's bytes, and what they say."""
        data = self.store.get(self.record_key)
        try:
            return data, Snapshot() if data is None else Snapshot.from_bytes(data)
        except _UNREADABLE as problem:
            raise _damaged(f"alias record {self.record_key}", worded(problem), self.put_back) from problem

    def read(self, number: int) -> Move | None:
        """An entry, whoever signed it; None when there is none."""
        data = self.store.get(self.entry_key(number))
        return None if data is None else self.parse(number, data)

    def parse(self, number: int, data: bytes) -> Move:
        """The entry that was read under this number."""
        key = self.entry_key(number)
        try:
            move = Move.from_evidence(read_evidence(data, self.trust))
        except _UNREADABLE as problem:
            raise _damaged(f"alias move {key}", worded(problem), self.put_back) from problem
        if (move.number, move.name, move.gpu_class) != (number, self.name, self.gpu_class):
            found = f"move {move.number} of {move.name} on {move.gpu_class}"
            raise _damaged(f"alias move {key}", f"it is {found}, put in another place", self.put_back)
        return move

    def latest(self) -> tuple[bytes | None, Snapshot]:
        """The record's bytes, and the state as the chain has it, which this home has seen from now on."""
        seen = self.seen()  # before the chain is read: what another process sees after that is no news
        data, snapshot = self._followed()
        if problem := self.cut(seen, snapshot.move):
            raise _damaged(f"alias log of {self.name} on {self.gpu_class}", problem, self._restored)
        memory = memory_of(self.store)
        if memory and snapshot.entry and not self.anyone and (not seen or seen.number < snapshot.move):
            memory.remember(self.name, self.gpu_class, Seen(snapshot.move, snapshot.entry))
        return data, snapshot

    def seen(self) -> Seen | None:
        """The newest entry that this home has seen, if it remembers one."""
        memory = None if self.restored else memory_of(self.store)
        return memory.seen(self.name, self.gpu_class) if memory else None

    def cut(self, seen: Seen | None, last: int) -> str:
        """Why a chain that ends at entry ``last`` is not a longer form of what was seen, or nothing."""
        if seen is None:
            return ""
        expected = f"this home has seen move {seen.number} ({seen.entry})"
        if last < seen.number:
            return f"{expected}, and it ends at move {last} now"
        data = self.store.get(self.entry_key(seen.number))
        found = None if data is None else Digest.of_bytes(data)
        if found == seen.entry:
            return ""
        return f"{expected}, and that move is {found or 'missing'} now"

    @property
    def _restored(self) -> str:
        newest = "restore the store from its newest backup"
        return f"{newest}; if it is an older one on purpose, {self.signed_without}"

    @property
    def put_back(self) -> str:
        """What helps where a part of it is gone or damaged."""
        return (
            f"put it back from a backup, or upgrade Headgate; where no backup has it, {self.signed_without}"
        )

    @property
    def doubted(self) -> str:
        """What helps where nobody trusted signed its last entry."""
        look = "find out who moved the alias (`headgate history`)"
        return f"`headgate keys trust` the key if it is its owner's, else {look} and {self.sign}"

    @property
    def sign(self) -> str:
        """How a person signs for the aliases as they are."""
        command = f"headgate vouch {self.name} --gpu-class {self.gpu_class} --why ..."
        return f"sign for what is right with `{command}`"

    @property
    def signed_without(self) -> str:
        """What to do where no backup has what is gone, for people."""
        command = f"headgate vouch {self.name} --gpu-class {self.gpu_class} --why ... --restored"
        return f"`{command}` signs for the aliases without what is gone"

    def lost(self, numbers: Sequence[int]) -> InfrastructureError:
        """The error of whoever would sign for a log that has lost these entries."""
        keys = ", ".join(self.entry_key(number) for number in numbers)
        problem = f"{keys} {'is' if len(numbers) == 1 else 'are'} missing or damaged"
        return _damaged(f"alias log of {self.name} on {self.gpu_class}", problem, self.put_back)

    def only_record(self) -> InfrastructureError:
        """The error where no entry is left, and a record that claims there is one, or cannot be read."""
        problem = "none of the moves that led to it is there, and nobody has signed it itself"
        begin = f"remove {self.record_key}, and {self.signed_without}; no alias is set then"
        return _damaged(
            f"alias record {self.record_key}",
            problem,
            f"restore the store from a backup; where there is none, {begin}",
        )

    def _followed(self) -> tuple[bytes | None, Snapshot]:
        data, snapshot = self.saved()
        if problem := self.record_problem(snapshot, self._believed(snapshot.move)):
            raise _damaged(f"alias record {self.record_key}", problem, self._restored)
        if data is None:
            snapshot = self._resumed()
        while entry := self._believed(snapshot.move + 1):
            if data is None and entry.number == 1:  # a record of format 1 was there, and is gone
                snapshot = Snapshot(entry.before)
            if problem := snapshot.break_before(entry):
                raise _damaged(f"alias move {self.entry_key(entry.number)}", problem, self.put_back)
            snapshot = Snapshot.of(entry)
        missing = snapshot.move + 1
        if data is None and missing < self.numbers().stop and self.store.get(self.entry_key(missing)) is None:
            raise self.lost([missing])
        return data, snapshot

    def _resumed(self) -> Snapshot:
        """Without a record: the state at the newest entry that goes on without lost ones, else none."""
        for number in reversed(self.numbers()):
            with contextlib.suppress(InfrastructureError):
                move = self.read(number)
                if move and move.lost and (move.signer or self.anyone):
                    return Snapshot.of(move)
        return Snapshot()

    def record_problem(self, record: Snapshot, entry: Move | None) -> str:
        """Why the record does not agree with the entry that it names, or nothing."""
        if not record.move or (entry and Snapshot.of(entry) == record):
            return ""
        problem = "says something else" if entry else "is not there"
        return f"it claims to be {self.entry_key(record.move)}, which {problem}"

    def settle(self) -> Snapshot:
        """The state as the chain has it; from now on the record says so as well."""
        while True:
            data, snapshot = self.latest()
            if not snapshot.move or data == snapshot.to_bytes():
                return snapshot
            if self.store.compare_and_swap(self.record_key, data, snapshot.to_bytes()):
                return snapshot

    def append(self, move: Move, signer: Signer) -> bool:
        """Sign an entry and create it; returns whether it came first. UsageError with a key that may not."""
        check_mover(self.trust, signer.key_id)
        return self.store.put_if_absent(self.entry_key(move.number), seal(move.evidence.statement, signer))

    def numbers(self) -> range:
        """The numbers of all entries there should be."""
        prefix = PurePosixPath(self.entry_key(0)).parent.as_posix()
        stems = (PurePosixPath(key).stem for key in self.store.list(f"{prefix}/"))
        last = max((int(stem) for stem in stems if stem.isdecimal()), default=0)
        while self.store.get(self.entry_key(last + 1)) is not None:  # younger than the listing
            last += 1
        return range(1, last + 1)

    def entries(self) -> Iterator[tuple[int, bytes | None]]:
        """The bytes of every entry there should be, by number; None where it is missing."""
        numbers = self.numbers()
        with ThreadPoolExecutor(_READERS) as pool:
            yield from zip(numbers, pool.map(self.store.get, map(self.entry_key, numbers)), strict=True)

    def _believed(self, number: int) -> Move | None:
        move = self.read(number) if number else None
        if move and not move.signer and not self.anyone:
            raise _damaged(f"alias move {self.entry_key(number)}", move.doubt, self.doubted)
        return move


def check_mover(trust: Trust, key_id: str) -> None:
    """UsageError for a key whose alias moves would not be believed here."""
    trusted = trust.find(key_id)
    if trusted and trusted.may_sign(ALIAS_MOVE):
        return
    why = (
        f"{trusted.name} is trusted for other kinds of evidence only" if trusted else "it is not trusted here"
    )
    raise UsageError(
        f"The key {key_id[:12]} may not move aliases, so nothing was moved",
        why=why,
        next_step="`headgate keys trust` it for alias-move, or sign with another key (HEADGATE_SIGNING_KEY)",
    )


def _damaged(what: str, why: str, next_step: str) -> InfrastructureError:
    return InfrastructureError(f"The {what} cannot be believed", why=why, next_step=next_step)

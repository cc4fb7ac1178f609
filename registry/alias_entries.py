"""All entries of an alias log at once: which are whole, which are lost, and who goes on without those.

An entry is lost when it is missing, damaged, or not the one that the next one follows. Where no backup has
it, a person signs an entry that names it in ``lost`` (``alias_vouch``). It counts for nothing from then on,
whatever lies under its number.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from registry.alias_chain import Chain, Snapshot
from registry.alias_move import Move
from registry.digest import Digest
from registry.errors import InfrastructureError

GAP = "the one before it is missing or damaged"


@dataclass(frozen=True)
class Entry:
    """What lies under a number: a move, or nothing, or ``damage``. ``broken``: why it does not follow.

    ``given_up`` is the trusted move that goes on without it.
    """

    number: int
    move: Move | None = None
    damage: InfrastructureError | None = None
    given_up: Move | None = None
    broken: str = ""


def read_entries(chain: Chain) -> list[Entry]:
    """Every entry there should be, from 1; InfrastructureError when the store cannot be reached."""
    found = [_read(chain, number, data) for number, data in chain.entries()]
    trusted = [e.move for e in found if e.move and e.move.signer]
    given_up = {number: move for move in trusted for number in move.lost}
    entries: list[Entry] = []
    for entry in (replace(e, given_up=given_up.get(e.number)) for e in found):
        entries.append(replace(entry, broken=_broken(entries[-1] if entries else None, entry)))
    return entries


def lost_numbers(entries: Sequence[Entry], end: int) -> tuple[int, ...]:
    """The numbers of the lost entries, those after the ``end`` among them, that nobody has given up yet."""
    lost: list[int] = []
    after: Move | None = None
    for entry in reversed(entries):
        usable = entry.move if entry.number <= end and not entry.given_up else None
        if usable and after and Snapshot.of(usable).break_before(after):
            usable = None
        if usable is None and not entry.given_up:
            lost.append(entry.number)
        after = usable
    return tuple(sorted(lost))


@dataclass(frozen=True)
class Links:
    """What the entries say of each other. ``broken``: a sentence for each that is not the one which the next
    was made after, and not given up. ``records``: by version number, the digest of the record that the newest
    move to it was made for.
    """

    broken: tuple[str, ...]
    records: Mapping[int, str]


def read_links(chain: Chain) -> Links:
    """The entries without their signatures.

    Each names the digest of the one before it, so whoever believes the last one needs no more signatures
    to know that all before it are whole: this takes a tenth of the time of reading them.
    """
    found: list[str] = []
    records: dict[int, str] = {}
    given_up: set[int] = set()
    follows: str | None = None  # what this entry should be; None where nobody can tell
    for number, data in reversed([*chain.entries()]):
        whole = number not in given_up and data is not None and follows in (None, str(Digest.of_bytes(data)))
        if not whole and number not in given_up:
            found.append(missing(chain, number) if data is None else disbelieved(chain, _OTHER, number))
        follows, lost, made_for = _links(data) if whole and data else (None, [], {})
        given_up |= {*lost}
        for version, record in made_for.items():
            records.setdefault(version, record)
    return Links(tuple(found[::-1]), records)


def missing(chain: Chain, number: int) -> str:
    """The sentence for an entry that is gone."""
    return f"The alias move {chain.entry_key(number)} is missing, and a later one is there."


def disbelieved(chain: Chain, why: str, *numbers: int) -> str:
    """The sentence for an entry that is there and does not count, or for several with one reason."""
    first, last = chain.entry_key(numbers[0]), chain.entry_key(numbers[-1])
    if len(numbers) == 1:
        return f"The alias move {first} cannot be believed: {why}."
    return f"The {len(numbers)} alias moves from {first} to {last} cannot be believed, each as {why}."


_OTHER = "it is not the one that the next move was made after"


def _links(entry: bytes) -> tuple[str | None, list[int], dict[int, str]]:
    """The digest of the one before it, as an entry names it, None where unreadable; the lost ones; and the
    record it was made for, by the version's number.
    """
    try:
        payload = json.loads(base64.b64decode(json.loads(entry)["dsseEnvelope"]["payload"]))
        facts = payload["predicate"]["headgate"]["facts"]
        record = f"sha256:{payload['subject'][0]['digest']['sha256']}"
        target = int(facts["after"][facts["alias"]])
        return str(facts["previous"]), [int(number) for number in facts.get("lost", [])], {target: record}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None, [], {}  # the next one, or whoever reads the last one, says so


def _read(chain: Chain, number: int, data: bytes | None) -> Entry:
    try:
        return Entry(number, None if data is None else chain.parse(number, data))
    except InfrastructureError as damage:
        return Entry(number, damage=damage)


def _broken(last: Entry | None, entry: Entry) -> str:
    """Why an entry does not follow the last one, or nothing."""
    move = entry.move
    if move is None or (last and last.given_up):
        return ""
    if last is None:
        return Snapshot(move.before).break_before(move)
    return Snapshot.of(last.move).break_before(move) if last.move else GAP

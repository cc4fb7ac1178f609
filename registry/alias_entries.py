"""All entries of an alias log at once: which are whole, which are lost, and who goes on without those.

An entry is lost when it is missing, damaged, or not the one that the next one follows. Where no backup has
it, a person signs an entry that names it in ``lost`` (``alias_vouch``). It counts for nothing from then on,
whatever lies under its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from registry.alias_chain import Chain, Snapshot
from registry.alias_move import Move
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
    found = [_read(chain, number) for number in chain.numbers()]
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


def _read(chain: Chain, number: int) -> Entry:
    try:
        return Entry(number, chain.read(number))
    except InfrastructureError as damage:
        chain.store.get(chain.entry_key(number))  # a store that cannot be reached is no damage
        return Entry(number, damage=damage)


def _broken(last: Entry | None, entry: Entry) -> str:
    """Why an entry does not follow the last one, or nothing."""
    move = entry.move
    if move is None or (last and last.given_up):
        return ""
    if last is None:
        return Snapshot(move.before).break_before(move)
    return Snapshot.of(last.move).break_before(move) if last.move else GAP

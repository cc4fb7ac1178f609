"""Moves of aliases to versions that are lost: whose records are gone, or are others by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.alias import Alias, Aliases
from registry.alias_chain import Chain, Snapshot
from registry.alias_entries import Entry
from registry.digest import Digest
from registry.errors import InfrastructureError
from registry.publish import find_version


@dataclass(frozen=True)
class Astray:
    """The numbers of such moves, with what those went on without, and of the versions that no alias may name.

    ``told`` has a sentence for each version.
    """

    moves: frozenset[int]
    versions: frozenset[int]
    told: tuple[str, ...]

    def without(self, aliases: Aliases) -> Aliases:
        """The aliases, those unset that name such a version."""
        named = aliases.to_json()
        return Aliases(**{alias: None if n in self.versions else n for alias, n in named.items()})


def find_astray(chain: Chain, entries: Sequence[Entry], state: Snapshot) -> Astray:
    """What is lost of the versions that the entries up to this state, and the state itself, name.

    Raises InfrastructureError when a record is damaged or the store cannot be reached: that is no loss yet.
    """
    moves = [e.move for e in entries if e.move and not e.given_up and e.number <= state.move]
    made_for = {move.target or 0: move for move in moves}  # the last one counts
    named = {*made_for, *(number for number in state.aliases.to_json().values() if number)}
    records = {n: find_version(chain.store, f"{chain.name}/{n}") for n in sorted(named)}
    digests = {n: version.record_digest if version else None for n, version in records.items()}
    other = [move for move in moves if digests[move.target or 0] != move.version]
    versions = {n for n in named if digests[n] is None or made_for.get(n) in other}
    # What was vouched for as `previous` has no record named, so whoever comes under its number is not meant.
    doubtful = [move for move in moves if move.before == move.after and move.after.previous in versions]
    told = [_told(f"{chain.name}/{n}", digests[n]) for n in sorted({m.target or 0 for m in other} | versions)]
    given_up = {number for move in (*other, *doubtful) for number in (move.number, *move.lost)}
    return Astray(frozenset(given_up), frozenset(versions), tuple(told))


def check_none(chain: Chain, astray: Astray) -> None:
    """Raises InfrastructureError when a version that the log names is lost."""
    if astray.told:
        step = f"restore it from a backup or an export; where there is none, {chain.signed_without}"
        raise _not_signed(chain, astray, step)


def check_some_left(chain: Chain, aliases: Aliases, astray: Astray) -> None:
    """Raises InfrastructureError when no alias is left to sign for, as the versions they name are lost."""
    left = astray.without(aliases)
    if left != aliases and not any(left.at(alias) for alias in Alias):
        step = "restore it from a backup or an export; or `headgate stage` one that is there, and try again"
        raise _not_signed(chain, astray, step)


def _not_signed(chain: Chain, astray: Astray, step: str) -> InfrastructureError:
    what = f"The aliases of {chain.name} on {chain.gpu_class} cannot be vouched for as they are"
    return InfrastructureError(what, why="; ".join(astray.told), next_step=step)


def _told(reference: str, kept: Digest | None) -> str:
    if kept is None:
        return f"the record of {reference} is gone from the store"
    return f"{reference} has the record {kept} now, and an alias was moved to it with another"

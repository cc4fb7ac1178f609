"""Which versions a registry has and what points at each; and what is gone or damaged, beside what is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from registry.alias import Aliases
from registry.alias_chain import Chain
from registry.alias_entries import read_links
from registry.alias_log import get_aliases, places
from registry.errors import InfrastructureError
from registry.numbers import known_names, lost_numbers
from registry.problem import Problem
from registry.publish import read_versions
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion
from registry.version_record import version_key


@dataclass(frozen=True)
class Listing:
    """``rows``: each version, and the names of its aliases, None where they cannot be believed. ``problems``:
    a sentence for everything that is wrong with records and aliases, with what helps.
    """

    rows: list[tuple[ModelVersion, list[str] | None]]
    problems: list[str]


@dataclass(frozen=True)
class _Pointing:
    """The aliases of a model on a GPU class, None where they cannot be believed; and by version number the
    digest of the record that the newest move to it was made for.
    """

    aliases: Aliases | None = field(default_factory=Aliases)
    records: Mapping[int, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def numbers(self) -> set[int]:
        """Every version that an alias points at, or was moved to."""
        return {*self.records, *(n for n in (self.aliases or Aliases()).to_json().values() if n)}

    def at(self, version: ModelVersion) -> list[str] | None:
        """The names of the aliases that point at a version; None where nobody can tell."""
        if self.aliases is None or self.changed(version):
            return None
        return self.aliases.names(version.number)

    def changed(self, version: ModelVersion) -> str:
        """What is wrong with the record of a version that an alias points at, or nothing."""
        if not self.aliases or not self.aliases.names(version.number):
            return ""
        record = self.records.get(version.number)
        if record in (None, str(version.record_digest)):
            return ""
        return (
            f"The record of {version.reference} has been changed: aliases were moved to {record},"
            f" and it is {version.record_digest} now: `headgate verify {version.reference}`."
        )


def list_with_aliases(store: Store, trust: Trust, name: str | None = None) -> Listing:
    """All versions of a model, or of all; raises UsageError for a malformed name."""
    found, damaged = read_versions(store, name)
    pointing = {place: _pointing(Chain(store, trust, *place)) for place in places(store, name)}
    by_version = [(v, pointing.get((v.name, v.gpu_class), _Pointing())) for v in found]
    changed = (problem for version, at in by_version if (problem := at.changed(version)))
    problems = [problem for at in pointing.values() for problem in at.problems]
    problems += [*map(str, damaged.values()), *changed]
    names = {name} if name else known_names(store, found)
    named = {(place[0], number) for place, at in pointing.items() for number in at.numbers}
    known = {(version.name, version.number) for version in found}
    problems += _gone(store, names, named - known)
    return Listing([(version, at.at(version)) for version, at in by_version], problems)


def _pointing(chain: Chain) -> _Pointing:
    try:
        aliases = get_aliases(chain.store, chain.trust, chain.name, chain.gpu_class)
    except InfrastructureError as problem:
        return _Pointing(aliases=None, problems=(str(problem),))
    links = read_links(chain)
    return _Pointing(
        aliases, links.records, tuple(str(Problem(broken, chain.put_back)) for broken in links.broken)
    )


def _gone(store: Store, names: Iterable[str], named: Iterable[tuple[str, int]]) -> Iterator[str]:
    """A sentence for each record that is gone: the index names its number, or a log does (``named``)."""
    lost = {(name, number) for name in names for number in lost_numbers(store, name)}
    lost |= {(name, n) for name, n in named if store.get(version_key(name, n)) is None}
    for name, number in sorted(lost):
        yield f"The record of {name}/{number} is gone from the store: `headgate verify {name}/{number}`."

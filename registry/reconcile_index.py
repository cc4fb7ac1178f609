"""Whether records of versions, the index from content to number, and the hint of new numbers agree."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from registry.content_index import is_indexed, may_be_indexed
from registry.numbers import (
    Index,
    known_names,
    lost_numbers,
    newest_key,
    newest_known,
    number_in,
    read_index,
    remember_newest,
)
from registry.problem import Mend, Problem
from registry.publish import index_version
from registry.store import Store
from registry.taken import named_records
from registry.trust import Trust
from registry.verify_evidence import read_said
from registry.version import ModelVersion
from registry.version_record import INDEX, RECORDS, index_key

_GONE = "restore the store from a backup, or import or release it again"
_STRANGE = "find out who writes to the store, and restore what was there before from a backup, or remove it"


@dataclass(frozen=True)
class IndexReconciler:
    """A store with the versions whose records can be read, and the keys of the damaged records."""

    store: Store
    trust: Trust
    versions: list[ModelVersion]
    damaged: Collection[str]

    def problems(self) -> Iterator[Problem]:
        """Hints that are too low, records that are gone or not indexed, publications that have not ended."""
        for name in sorted(known_names(self.store, self.versions)):
            yield from self._behind(name)
            lost = lost_numbers(self.store, name)
            for number in lost:
                yield Problem(f"The record of {name}/{number} is gone from the store", _GONE)
            yield from self._unnamed(name)
            yield from self._open_claims(name, lost)

    @cached_property
    def strange(self) -> list[ModelVersion]:
        """The versions that nothing vouches for, and that no publisher can have left: not in the index."""
        return [version for version in self._unindexed if not self._may_be_indexed(version)]

    @cached_property
    def _index(self) -> Index:
        return read_index(self.store)

    @cached_property
    def _unindexed(self) -> list[ModelVersion]:
        return [version for version in self.versions if not is_indexed(version, self._index)]

    def _may_be_indexed(self, version: ModelVersion) -> bool:
        return may_be_indexed(version, read_said(self.store, self.trust, version), self._index)

    def _behind(self, name: str) -> Iterator[Problem]:
        """A hint below a number that was given; without any hint, the next publisher looks for itself."""
        kept = {v.number for v in self.versions if v.name == name} - self._strange_numbers(name)
        given = max([0, *kept, *self._damaged_numbers(name), *named_records(self.store, name)])
        if 0 < newest_known(self.store, name) < given:
            what = f"{newest_key(name)} names a lower number than {name}/{given}, which was given"
            yield Problem(what, "it is raised: no number is given twice", self._remember(name, given))

    def _strange_numbers(self, name: str) -> set[int]:
        return {version.number for version in self.strange if version.name == name}

    def _damaged_numbers(self, name: str) -> set[int]:
        """Of damaged records, as far as the index names them: anybody may leave one under any number."""
        mine = (key for key in self.damaged if key.startswith(f"{RECORDS}{name}/"))
        claims = (claim for key, claim in self._index.items() if key.startswith(f"{INDEX}{name}/"))
        return {number_in(PurePosixPath(key).stem) for key in mine} & {*map(number_in, claims)} - {0}

    def _unnamed(self, name: str) -> Iterator[Problem]:
        for version in (v for v in self._unindexed if v.name == name):
            if version in self.strange:
                what = (
                    f"The record of {version.reference} was not published: no trusted key has signed for it"
                )
                yield Problem(f"{what}, and the index does not name its content", _STRANGE)
            else:
                what = f"{version.reference} is not found by its content"
                yield Problem(what, "the index names it again", self._name(version))

    def _open_claims(self, name: str, lost: list[int]) -> Iterator[Problem]:
        prefix, known = f"{INDEX}{name}/", {index_key(version) for version in self.versions}
        told = {*lost, *self._damaged_numbers(name), *self._strange_numbers(name)}
        for key in sorted(self._index.keys() - known):
            if key.startswith(prefix) and number_in(self._index[key]) not in told:
                content = key.removeprefix(prefix)
                what = f"A publication of {name} with the content {content[:12]} has not ended"
                yield Problem(what, "the next release of that content goes on with it", harmless=True)

    def _name(self, version: ModelVersion) -> Mend:
        return lambda: index_version(self.store, version)

    def _remember(self, name: str, number: int) -> Mend:
        return lambda: remember_newest(self.store, name, number)

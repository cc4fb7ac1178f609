"""Whether the index from content to number and the records of versions agree, and what is wrong where not.

Publishing writes the index first. So a record that it does not name was not left by a publisher that died:
it is named again when a trusted key has signed for it, or when it is from before anything was signed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from registry.problem import Mend, Problem
from registry.publish import index_version, lost_numbers, published
from registry.store import Store
from registry.trust import Trust
from registry.verify_evidence import read_said, releases_of
from registry.version import ModelVersion

_INDEX = "versions-by-content/"
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
        """Records that are gone, what the index does not name, and publications that have not ended."""
        for name in sorted({*published(self.store), *(version.name for version in self.versions)}):
            lost = lost_numbers(self.store, name)
            for number in lost:
                yield Problem(f"The record of {name}/{number} is gone from the store", _GONE)
            yield from self._unnamed(name)
            yield from self._open_claims(name, lost)

    @cached_property
    def strange(self) -> list[ModelVersion]:
        """The versions that nothing vouches for, and that no publisher can have left: not in the index."""
        return [version for version in self._unindexed if not self._is_vouched_for(version)]

    @cached_property
    def _index(self) -> dict[str, bytes | None]:
        return {key: self.store.get(key) for key in self.store.list(_INDEX)}

    @cached_property
    def _unindexed(self) -> list[ModelVersion]:
        return [v for v in self.versions if self._index.get(_key(v)) != str(v.number).encode()]

    def _is_vouched_for(self, version: ModelVersion) -> bool:
        if version.predates_signing:
            return not self._is_taken(version)
        return bool(releases_of(version, read_said(self.store, self.trust, version)))

    def _is_taken(self, version: ModelVersion) -> bool:
        """Whether the index gives its number to other content."""
        own = f"{_INDEX}{version.name}/"
        number = str(version.number).encode()
        return any(claim == number for key, claim in self._index.items() if key.startswith(own))

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
        prefix, known = f"{_INDEX}{name}/", {_key(version) for version in self.versions}
        damaged = {PurePosixPath(key).stem.lstrip("0") for key in self.damaged if f"/{name}/" in key}
        strange = {version.number for version in self.strange if version.name == name}
        told = {str(number).encode() for number in (*lost, *damaged, *strange)}
        for key in sorted(self._index.keys() - known):
            if key.startswith(prefix) and self._index[key] not in told:
                content = key.removeprefix(prefix)
                what = f"A publication of {name} with the content {content[:12]} has not ended"
                yield Problem(what, "the next release of that content goes on with it", harmless=True)

    def _name(self, version: ModelVersion) -> Mend:
        return lambda: index_version(self.store, version)


def _key(version: ModelVersion) -> str:
    return f"{_INDEX}{version.name}/{version.content_digest.hex}"

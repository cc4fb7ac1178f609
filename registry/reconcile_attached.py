"""Whether images and the store have the same evidence: in the local layout, and wherever it was attached.

What only the store has is attached again. What only an image has, or this home remembers, was removed from
the store, and is put back when a trusted key signed it. Nothing is ever removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from registry.attachment import Attachment, attach, attached, read_attachments
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError
from registry.evidence import Evidence, record_key, remembered
from registry.lost_evidence import in_words, lost_evidence, put_back
from registry.oci_client import OciClient
from registry.oci_layout import OciLayout
from registry.problem import Mend, Problem
from registry.referrers import attachable
from registry.store import Store
from registry.trust import Trust
from registry.verify_evidence import read_said
from registry.version import ModelVersion

_BY_HAND = "restore it from a backup, or remove it, and release again what needs it"


@dataclass(frozen=True)
class _Said:
    """A version, and what is said about it in the store: each record's digest, with that of its subject."""

    version: ModelVersion
    records: dict[Digest, Digest]


@dataclass(frozen=True)
class AttachedReconciler:
    """The store, and where images lie; ``who`` attaches, to people. Every problem is told once."""

    store: Store
    trust: Trust
    layout: OciLayout
    who: str
    connect: Callable[[Attachment], OciClient]

    def problems(self, versions: list[ModelVersion]) -> Iterator[Problem]:
        """What is here and not there, about these versions. Raises HeadgateError when the store fails."""
        told: dict[Digest, str] = {}  # statements about weights are about every version made of them
        damaged: dict[str, InfrastructureError] = {}
        found: list[_Said] = []
        for version in versions:
            # What objects to it is remembered from now on.
            read = read_said(self.store, self.trust, version)
            damaged |= read.damaged
            said = _Said(version, {e.digest: e.subject for e in read.evidence if e.digest})
            found.append(said)
            seen = remembered(self.store, version)
            yield from self._lost(said, seen, f"about {version.reference}, seen by this home before,", told)
            if self.layout.has(version.image):
                yield from self._in_layout(said, told)
        places, unread = read_attachments(self.store)
        yield from (Problem(damage.problem, damage.next_step) for damage in unread)
        for place in places:
            yield from self._in_registry(place, [s for s in found if s.version.image == place.image], told)
        for key in sorted(damaged.keys() - set(told.values())):  # the others have a copy, which mends them
            yield Problem(damaged[key].problem, _BY_HAND)

    def _in_layout(self, said: _Said, told: dict[Digest, str]) -> Iterator[Problem]:
        version = said.version
        try:
            there = self.layout.bundles(version.image)
            yield from self._lost(said, there, f"beside the image of {version.reference}", told)
            lacking = self._lacking(there, [said])
        except HeadgateError as damage:
            yield Problem(damage.problem, damage.next_step or "mend that first, and reconcile again")
            return
        if lacking:
            what = f"{_records(len(lacking))} not beside the image of {version.reference}"
            yield Problem(what, "they are attached", self._put_beside(version.image, lacking))

    def _in_registry(
        self, place: Attachment, said: list[_Said], told: dict[Digest, str]
    ) -> Iterator[Problem]:
        """Also what another tool's update has dropped from a registry's list of referrers."""
        references = [about.version.reference for about in said]
        named = " and ".join(references) or str(place.image)
        try:
            with self.connect(place) as client:
                there = attached(client, place.image)
        except HeadgateError as problem:
            what = f"What is attached to {named} in {place.repository} could not be looked at"
            yield Problem(f"{what}: {problem.problem}", _unreached(place, references), unseen=True)
            return
        for about in said:
            yield from self._lost(about, there, f"attached to {named} in {place.repository}", told)
        if lacking := self._lacking(there, said):
            what = f"{_records(len(lacking))} not attached to {named} in {place.repository}"
            yield Problem(what, "they are attached again", self._attach(place, lacking))

    def _lost(
        self, said: _Said, there: Mapping[Digest, bytes], where: str, told: dict[Digest, str]
    ) -> Iterator[Problem]:
        found = lost_evidence(there, said.version, said.records.keys() | told.keys(), self.trust)
        told |= {digest: record_key(evidence.subject, digest) for digest, evidence in found.items()}
        if found:
            what = f"{_records(len(found))} {where} and not in the store: {in_words(found.values())}"
            records = [(evidence, there[digest]) for digest, evidence in found.items()]
            yield Problem(what, "they are put back into the store", self._put_back(records))
            said.records.update({digest: evidence.subject for digest, evidence in found.items()})

    def _put_back(self, records: list[tuple[Evidence, bytes]]) -> Mend:
        return lambda: all(put_back(self.store, evidence.subject, data) for evidence, data in records)

    def _put_beside(self, image: Digest, bundles: list[bytes]) -> Mend:
        return lambda: bool(self.layout.put_referrers(image, bundles))

    def _attach(self, place: Attachment, bundles: list[bytes]) -> Mend:
        def mend() -> bool:
            with self.connect(place) as client:
                attach(client, self.store, self.who, place.image, bundles)
            return True

        return mend

    def _lacking(self, there: Mapping[Digest, bytes], said: Iterable[_Said]) -> list[bytes]:
        """What is said in the store and not there, of what lies beside images."""
        records = {d: subject for about in said for d, subject in about.records.items() if d not in there}
        keys = sorted(record_key(subject, digest) for digest, subject in records.items())
        return attachable(data for key in keys if (data := self.store.get(key)) is not None)


def _unreached(place: Attachment, references: list[str]) -> str:
    again = "when it can be reached, reconcile again"
    if not references:
        return again
    return f"{again}; `headgate detach {references[0]} {place.repository}` forgets it for good"


def _records(count: int) -> str:
    return "1 record is" if count == 1 else f"{count} records are"

"""Whether images and the store have the same evidence: in the local layout, and wherever it was attached.

What only the store has is attached again. What only an image has, or this home remembers, was removed from
the store, and is put back when a trusted key signed it. Nothing is ever removed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from registry.attachment import Attachment, attach, attached, read_attachments
from registry.digest import Digest
from registry.errors import HeadgateError, InfrastructureError
from registry.evidence import Evidence, record_key, remembered, subjects_of
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
class _Place:
    """Somewhere an image lies: which records it has there, those about what, and how it gets more."""

    there: Collection[Digest]
    said: list[_Said]
    where: str
    remedy: str
    put: Callable[[list[bytes]], Mend]


@dataclass(frozen=True)
class AttachedReconciler:
    """The store, and where images lie; ``who`` attaches, to people. Every problem is told once."""

    store: Store
    trust: Trust
    layout: OciLayout
    who: str
    connect: Callable[[Attachment], OciClient]

    def problems(self, versions: list[ModelVersion]) -> Iterator[Problem]:
        """What is here and not there, about these versions. Raises HeadgateError when the store fails.

        All that is lost comes first: versions share statements, and where one is lacking it may be known
        only from the image of another.
        """
        found: list[_Said] = []
        damaged: dict[str, InfrastructureError] = {}
        for version in versions:
            # What objects to it is remembered from now on.
            read = read_said(self.store, self.trust, version)
            damaged |= read.damaged
            found.append(_Said(version, {e.digest: e.subject for e in read.evidence if e.digest}))
        places: list[_Place] = []
        for said in found:
            seen, reference = remembered(self.store, said.version), said.version.reference
            yield from self._lost(said, seen, f"about {reference}, seen by this home before,", found)
        for image in dict.fromkeys(said.version.image for said in found):
            if self.layout.has(image):
                places += yield from self._in_layout(image, found)
        attachments, unread = read_attachments(self.store)
        yield from (Problem(damage.problem, damage.next_step) for damage in unread)
        for attachment in attachments:
            places += yield from self._in_registry(attachment, found)
        yield from self._lacking(places)
        kept = {record_key(subject, digest) for said in found for digest, subject in said.records.items()}
        for key in sorted(damaged.keys() - kept):  # the others have a copy, which mends them
            yield Problem(damaged[key].problem, _BY_HAND)

    def _in_layout(self, image: Digest, found: list[_Said]) -> Generator[Problem, None, list[_Place]]:
        about = [said for said in found if said.version.image == image]
        where = f"beside the image of {' and '.join(said.version.reference for said in about)}"
        try:
            there = self.layout.bundles(image)
        except HeadgateError as damage:
            yield Problem(damage.problem, damage.next_step or "mend that first, and reconcile again")
            return []
        for said in about:
            yield from self._lost(said, there, where, found)
        return [_Place({*there}, about, where, "they are attached", partial(self._put_beside, image))]

    def _in_registry(self, place: Attachment, found: list[_Said]) -> Generator[Problem, None, list[_Place]]:
        """Also what another tool's update has dropped from a registry's list of referrers."""
        about = [said for said in found if said.version.image == place.image]
        references = [said.version.reference for said in about]
        named = " and ".join(references) or str(place.image)
        try:
            with self.connect(place) as client:
                there = attached(client, place.image)
        except HeadgateError as problem:
            what = f"What is attached to {named} in {place.repository} could not be looked at"
            yield Problem(f"{what}: {problem.problem}", _unreached(place, references), unseen=True)
            return []
        where = f"attached to {named} in {place.repository}"
        for said in about:
            yield from self._lost(said, there, where, found)
        return [_Place({*there}, about, where, "they are attached again", partial(self._attach, place))]

    def _lost(
        self, said: _Said, there: Mapping[Digest, bytes], where: str, found: list[_Said]
    ) -> Iterator[Problem]:
        lost = lost_evidence(there, said.version, said.records.keys(), self.trust)
        if lost:
            what = f"{_records(len(lost))} {where} and not in the store: {in_words(lost.values())}"
            records = [(evidence, there[digest]) for digest, evidence in lost.items()]
            yield Problem(what, "they are put back into the store", self._put_back(records))
            for other in found:  # statements about weights are about every version made of them
                about = subjects_of(other.version)
                other.records.update({d: e.subject for d, e in lost.items() if e.subject in about})

    def _lacking(self, places: Iterable[_Place]) -> Iterator[Problem]:
        """What is said in the store and not there, of what lies beside images."""
        for place in places:
            records = {
                record_key(s, d)
                for said in place.said
                for d, s in said.records.items()
                if d not in place.there
            }
            bundles = attachable(data for key in sorted(records) if (data := self.store.get(key)) is not None)
            if bundles:
                what = f"{_records(len(bundles))} not {place.where}"
                yield Problem(what, place.remedy, place.put(bundles))

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


def _unreached(place: Attachment, references: list[str]) -> str:
    again = "when it can be reached, reconcile again"
    if not references:
        return again
    return f"{again}; `headgate detach {references[0]} {place.repository}` forgets it for good"


def _records(count: int) -> str:
    return "1 record is" if count == 1 else f"{count} records are"

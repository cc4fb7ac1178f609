"""Whether what is said about a version is still what was signed, and who signed for the version as a whole.

Damage and doubt are told apart: a damaged record is none, and one that nobody trusted signed counts for
nothing. What the evidence says, and what that allows, is the policy's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from registry.counting import is_satisfied
from registry.data_errors import worded
from registry.digest import Digest
from registry.errors import InfrastructureError, Refused
from registry.evidence import UNSIGNED, Evidence, read_evidence, read_record, subjects_of
from registry.oci_layout import OciLayout
from registry.plain_text import counted
from registry.predicates import ALIAS_MOVE, RELEASE, WEIGHTS_SIGNATURE
from registry.referrers import fallback_tag
from registry.store import Store
from registry.trust import Trust
from registry.verify_image import check_listed
from registry.verify_weights import not_here
from registry.version import ModelVersion

WHOSE_KEY = "`headgate keys trust` the key if it is its owner's, else release the version again"
RELEASE_AGAIN = "release it again: that signs what is said about it"
_UPGRADE = "`headgate store upgrade` signs what is from before anything was signed"


@dataclass(frozen=True)
class Said:
    """All evidence about a version: what can be read, and by key what is wrong with each damaged record."""

    evidence: tuple[Evidence, ...]
    damaged: Mapping[str, InfrastructureError]

    @property
    def counted(self) -> list[Evidence]:
        """What a key trusted for its kind has signed."""
        return [e for e in self.evidence if not e.doubt]

    @property
    def damaged_digests(self) -> Iterator[Digest]:
        """Of the records that are damaged, as their keys have them."""
        for key in self.damaged:
            with contextlib.suppress(ValueError):  # a file that somebody else put there
                yield Digest(PurePosixPath(key).stem)


def read_said(store: Store, trust: Trust, version: ModelVersion) -> Said:
    """Every record about every digest of a version; one that is damaged hides no other."""
    evidence: list[Evidence] = []
    damaged: dict[str, InfrastructureError] = {}
    for subject in subjects_of(version):
        for key in store.list(f"evidence/{subject.hex}/"):
            try:
                found = read_record(store, key, subject, trust)
                evidence += [found] if found else []
            except InfrastructureError as damage:
                damaged[key] = damage
    return Said(tuple(evidence), damaged)


def check_record(evidence: Evidence, counted: Iterable[Evidence]) -> str:
    """Who signed a record; Refused when nobody trusted did and nothing of its kind takes its place."""
    if not evidence.doubt:
        return f"{evidence.digest} is signed by {evidence.signer}"
    if evidence.kind == ALIAS_MOVE:
        return f"{evidence.digest} tells of another house's aliases, and nothing here rests on it"
    if any((e.kind, e.subject) == (evidence.kind, evidence.subject) for e in counted):
        said = "" if is_satisfied(evidence) else " says no, and"
        return f"{evidence.digest}{said} does not count ({evidence.doubt}); other evidence of its kind does"
    what = f"The {evidence.kind} evidence {evidence.digest} does not count"
    next_step = _UPGRADE if evidence.doubt == UNSIGNED else WHOSE_KEY
    raise Refused(what, why=evidence.doubt, next_step=next_step)


def check_release(version: ModelVersion, said: Said) -> str:
    """Who vouches for the record as a whole; Refused when nobody trusted does, or for something else."""
    releases = releases_of(version, said)
    if not releases:
        why = f"no release statement about {version.record_digest} is signed by a key trusted here"
        next_step = _how_to_sign(version, said, RELEASE)
        raise Refused(f"Nobody vouches for the record of {version.reference}", why=why, next_step=next_step)
    for release in releases:
        _check_statement(version, release, said)
    signers = ", ".join(sorted({e.signer for e in releases if e.signer}))
    return f"{version.record_digest} is vouched for by {signers}"


def releases_of(version: ModelVersion, said: Said) -> list[Evidence]:
    """The release statements about the record of a version that trusted keys signed."""
    return [e for e in said.counted if (e.kind, e.subject) == (RELEASE, version.record_digest)]


def _check_statement(version: ModelVersion, release: Evidence, said: Said) -> None:
    expected = {"release": version.release_digest, "weights": version.weights_set, "image": version.image}
    kept = {str(e.digest) for e in said.evidence}
    wrong = ""
    if release.facts.get("version") != version.reference:
        wrong = f"it is about {release.facts.get('version')}"
    elif others := [name for name, digest in expected.items() if release.also.get(name) != digest]:
        wrong = f"it names another {' and '.join(others)}"
    elif release.verdict is None or not release.verdict.passed:
        wrong = f"it says {release.verdict.outcome if release.verdict else 'nothing'}"
    elif gone := sorted(set(release.facts.get("evidence", ())) - kept):
        wrong = f"it rests on evidence that is not here or damaged: {', '.join(gone)}"
    if wrong:
        what = f"The release statement {release.digest} does not hold for {version.reference}"
        raise Refused(what, why=wrong, next_step="restore the store from a backup, or release it again")


def check_weights_signature(version: ModelVersion, said: Said) -> str:
    """Who signed the weights, file by file; Refused when nobody trusted did."""
    wanted = (WEIGHTS_SIGNATURE, version.weights_set)
    signers = {e.signer for e in said.counted if (e.kind, e.subject) == wanted and e.signer}
    if not signers:
        why, next_step = (
            "no trusted key has signed their files",
            _how_to_sign(version, said, WEIGHTS_SIGNATURE),
        )
        raise Refused(f"The weights of {version.reference} are not signed", why=why, next_step=next_step)
    return f"{version.weights_set} is signed by {', '.join(sorted(signers))}"


def _how_to_sign(version: ModelVersion, said: Said, kind: str) -> str:
    """What helps where no evidence of a kind counts: what was signed once is never for an upgrade to sign."""
    if any(e.kind == kind for e in said.evidence):
        return WHOSE_KEY
    return _UPGRADE if version.predates_signing else RELEASE_AGAIN


def check_attached(layout: OciLayout, version: ModelVersion, said: Said, trust: Trust) -> str:
    """What is attached to the image; Refused when damaged, foreign, or without the release statement."""
    attached = read_attached(layout, version)
    if not attached and not layout.has(version.image):
        raise not_here(f"The statements attached to the image {version.image}", version)
    foreign = [digest for digest in attached if digest not in {e.digest for e in said.evidence}]
    doubts = {digest: read_evidence(attached[digest], trust).doubt for digest in foreign}
    if wrong := [f"{digest}: {doubt}" for digest, doubt in doubts.items() if doubt]:
        what = f"The image {version.image} carries statements that are not in the store"
        raise Refused(what, why="; ".join(wrong), next_step="remove them, or trust the keys that signed them")
    if listed := layout.resolve(fallback_tag(version.image)):
        check_listed(layout, listed.digest)
    if not {e.digest for e in releases_of(version, said)} & attached.keys():
        what = f"The image {version.image} does not carry its release statement"
        raise Refused(what, why=f"{counted(len(attached), 'other')} attached", next_step=_attach(version))
    return f"{counted(len(attached), 'statement')} beside the image"


def read_attached(layout: OciLayout, version: ModelVersion) -> dict[Digest, bytes]:
    """The signed statements attached to the image, by digest; Refused when any of it is damaged."""
    try:
        for referrer in layout.referrers(version.image):
            for part in layout.parts(referrer):
                layout.read(part.digest)
        attached = layout.bundles(version.image)
        for data in attached.values():
            read_evidence(data, Trust())
    except (InfrastructureError, ValueError) as problem:
        what = f"What is attached to the image {version.image} is damaged"
        why = problem.problem if isinstance(problem, InfrastructureError) else worded(problem)
        raise Refused(what, why=why, next_step=_attach(version)) from problem
    return attached


def _attach(version: ModelVersion) -> str:
    return f"release {version.reference} again, or import it: that attaches what is signed about it"

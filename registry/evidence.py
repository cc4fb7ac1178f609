"""What was measured or said about a release: append-only, signed records on the digest they speak about.

Evidence is never part of a version's record: a rescan or a new gate adds to it and changes nothing.
Nobody gains by removing what speaks for a version, as the policy asks for it; but by removing an objection.
So each home keeps those it makes or reads, outside the store: ``lost_evidence`` tells which are gone there.
Who judges, and what a verdict allows, is left to the gates and the policy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from judging.verdict import Verdict
from registry.bundle import Sealed, Signer, seal, unseal
from registry.data_errors import worded
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.predicates import WEIGHTS_SIGNATURE, from_predicate, predicate_type, to_predicate
from registry.remembered_store import objections_of
from registry.statement import Statement
from registry.store import Store
from registry.trust import Trust
from registry.version import ModelVersion, check_name
from registry.weights_signature import root_digest, signed_set

UNSIGNED = "it is not signed: it was recorded before evidence was"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measurement: its kind (``registry.predicates``), its subject, any verdict.

    ``facts`` holds plain JSON values: figures, tool versions, and ``at``, the ISO time in UTC. ``also``
    names further digests it speaks of, such as the image of a release. A record that was read has the
    name of the key that signed it as ``signer`` when that key is trusted for its kind, else None and the
    reason as ``doubt``; ``digest`` is the digest of its bytes.
    """

    kind: str
    subject: Digest
    verdict: Verdict | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, Digest] = field(default_factory=dict)
    signer: str | None = None
    key_id: str = ""
    doubt: str = UNSIGNED
    digest: Digest | None = None

    def __post_init__(self) -> None:
        check_name(self.kind)
        if "subject" in self.also:
            raise ValueError("what evidence also speaks of needs another name than its subject")

    @property
    def objects(self) -> bool:
        """Whether it speaks against its subject: a rejection, a gate that failed, a rollout rolled back."""
        return self.verdict is not None and not self.verdict.passed

    @property
    def statement(self) -> Statement:
        """The in-toto statement that says this; ValueError for a weights signature of other weights."""
        subject = self.subject
        if self.kind == WEIGHTS_SIGNATURE:
            if signed_set(self.facts) != subject:
                raise ValueError(f"the signed files are not the weights {subject}")
            subject = root_digest(self.facts)
        return Statement(
            predicate_type=predicate_type(self.kind),
            subjects={"subject": subject, **self.also},
            predicate=to_predicate(self.kind, self.verdict, self.facts),
        )

    def to_json(self) -> dict[str, Any]:
        """What programs are shown of it, as plain values."""
        return {
            "kind": self.kind,
            "subject": str(self.subject),
            "also": {name: str(digest) for name, digest in self.also.items()},
            "verdict": self.verdict.to_json() if self.verdict else None,
            "facts": dict(self.facts),
            "signer": self.signer,
            "doubt": self.doubt,
            "digest": str(self.digest),
        }


def record(store: Store, signer: Signer, evidence: Evidence) -> Digest:
    """Sign and add the evidence; returns the digest of the record."""
    bundle = seal(evidence.statement, signer)
    digest = keep(store, evidence.subject, bundle)
    if evidence.objects:
        _remember(store, record_key(evidence.subject, digest), bundle)
    return digest


def keep(store: Store, subject: Digest, bundle: bytes) -> Digest:
    """Add a signed record as it is, once however often; its subject is the caller's to have checked."""
    digest = Digest.of_bytes(bundle)
    store.put_if_absent(record_key(subject, digest), bundle)
    return digest


def record_key(subject: Digest, digest: Digest) -> str:
    """Where the record about a subject with this digest is kept."""
    return f"{_prefix(subject)}{digest.hex}.json"


def list_evidence(store: Store, subject: Digest, trust: Trust) -> list[Evidence]:
    """All evidence about a subject, by kind, time, digest; InfrastructureError for a damaged record."""
    records = (read_record(store, key, subject, trust) for key in store.list(_prefix(subject)))
    found = [evidence for evidence in records if evidence]
    return sorted(found, key=lambda e: (e.kind, str(e.facts.get("at", "")), str(e.digest)))


def read_record(store: Store, key: str, subject: Digest, trust: Trust) -> Evidence | None:
    """The evidence kept about a subject under a key, or None; InfrastructureError when it is damaged.

    An objection that a trusted key signed is remembered from now on.
    """
    data = store.get(key)
    if data is None:
        return None
    evidence = parse_record(key, data, subject, trust)
    if evidence.objects and evidence.signer:
        _remember(store, key, data)
    return evidence


def parse_record(key: str, data: bytes, subject: Digest, trust: Trust) -> Evidence:
    """The evidence in a record about a subject; InfrastructureError when it is damaged."""
    _named(key, data)
    try:
        evidence = read_evidence(data, trust)
    except ValueError as problem:
        raise _damaged(key, worded(problem)) from problem
    if evidence.subject != subject:
        raise _damaged(key, f"it speaks of {evidence.subject}, not of the digest it is filed under")
    return evidence


def remembered(store: Store, version: ModelVersion) -> dict[Digest, bytes]:
    """The objections to a version that this home has made or read, by digest, whether they count or not."""
    objections = objections_of(store)
    if objections is None:
        return {}
    found = [objections.get(key) for s in subjects_of(version) for key in objections.list(_prefix(s))]
    return {Digest.of_bytes(data): data for data in found if data is not None}


def _remember(store: Store, key: str, data: bytes) -> None:
    objections = objections_of(store)
    if objections and objections.get(key) is None:
        objections.put_if_absent(key, data)


def evidence_about(store: Store, version: ModelVersion, trust: Trust) -> list[Evidence]:
    """All evidence about a version: on its record, release, weights, source, runtime and image."""
    return [e for subject in subjects_of(version) for e in list_evidence(store, subject, trust)]


def subjects_of(version: ModelVersion) -> list[Digest]:
    """Every digest of a version that evidence can hang on, in the order things were made."""
    parts = (version.source_set, version.weights_set, version.runtime, version.release_digest)
    found = (*parts, version.image, version.record_digest)
    return list(dict.fromkeys(digest for digest in found if digest))


def list_bundles(store: Store, subject: Digest) -> dict[Digest, bytes]:
    """The records about a subject, as bytes by their digest; InfrastructureError for a damaged one."""
    found = {key: store.get(key) for key in store.list(_prefix(subject))}
    for key, data in found.items():
        if data is not None:
            parse_record(key, data, subject, Trust())  # nor one about something else: they travel
    return {Digest.of_bytes(data): data for data in found.values() if data is not None}


def read_evidence(data: bytes, trust: Trust) -> Evidence:
    """The evidence in a record's bytes; ValueError when they hold none."""
    legacy = _legacy(data)
    if legacy:
        return legacy
    sealed = unseal(data, trust)
    subjects = dict(sealed.statement.subjects)
    subject = subjects.pop(next(iter(subjects)))
    try:
        kind, verdict, facts = from_predicate(sealed.statement.predicate_type, sealed.statement.predicate)
        return Evidence(
            kind=kind,
            subject=_weights(facts, subject) if kind == WEIGHTS_SIGNATURE else subject,
            verdict=verdict,
            facts=facts,
            also=subjects,
            key_id=sealed.key_id,
            digest=Digest.of_bytes(data),
            **_believed(sealed, kind, trust),
        )
    except (KeyError, TypeError, AttributeError) as problem:
        raise ValueError(f"not evidence of ours ({worded(problem)})") from problem


def _believed(sealed: Sealed, kind: str, trust: Trust) -> dict[str, Any]:
    """Who vouches for a statement of this kind: a key counts only for what it is trusted for."""
    key = trust.find(sealed.key_id)
    if sealed.signer and key and not key.may_sign(kind):
        return {"signer": None, "doubt": f"the key {key.name} may not sign {kind} evidence"}
    return {"signer": sealed.signer, "doubt": sealed.doubt}


def _weights(signed: Mapping[str, Any], root: Digest) -> Digest:
    """The set digest of weights signed under OMS's root digest; its list of files has both."""
    if root_digest(signed) != root:
        raise ValueError(f"the signed files have the root digest {root_digest(signed)}, not {root}")
    return signed_set(signed)


def _legacy(data: bytes) -> Evidence | None:
    """A record of format 1, plain and unsigned."""
    try:
        value = json.loads(data)
        if not isinstance(value, dict) or value.keys() != {"kind", "subject", "verdict", "facts"}:
            return None
        canonical_json(value)  # no text that cannot be written again
        return Evidence(
            kind=value["kind"],
            subject=Digest.parse(value["subject"]),
            verdict=Verdict.from_json(value["verdict"]) if value["verdict"] else None,
            facts=dict(value["facts"]),
            digest=Digest.of_bytes(data),
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError(f"not evidence of ours ({worded(problem)})") from problem


def _named(key: str, data: bytes) -> Digest:
    digest = Digest.of_bytes(data)
    if not key.endswith(f"/{digest.hex}.json"):
        raise _damaged(key, f"its content has the digest {digest}")
    return digest


def _damaged(key: str, why: str) -> InfrastructureError:
    next_step = "`headgate reconcile --apply` mends it where a copy lies; else restore it from a backup"
    return InfrastructureError(f"The evidence record {key} is damaged", why=why, next_step=next_step)


def _prefix(subject: Digest) -> str:
    return f"evidence/{subject.hex}/"

"""Brings a store of an older Headgate up to date: what was recorded before records were signed is signed.

Whoever runs it vouches, with their key, for what the store holds: nothing in an unsigned store proves
itself. The old records stay as they are; each new one names the digest of the one it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from judging.verdict import Finding, Outcome, Verdict
from registry.alias_log import vouch
from registry.bundle import Signer
from registry.digest import Digest
from registry.errors import Refused, UsageError
from registry.evidence import UNSIGNED, Evidence, evidence_about, list_bundles, record, subjects_of
from registry.oci_layout import OciLayout
from registry.policy import Policy
from registry.predicates import RELEASE, WEIGHTS_SIGNATURE
from registry.publish import list_versions
from registry.referrers import attachable
from registry.store import Store
from registry.trust import Trust
from registry.verify import check_manifest
from registry.version import ModelVersion
from registry.weights_signature import weights_predicate

STANDS_FOR = "stands_for"
"""The fact that names the digest of the unsigned record."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Who upgrades: the key, the keys trusted, the policy in force, a name, and the time (aware)."""

    signer: Signer
    trust: Trust
    policy: Policy
    who: str
    now: datetime


def upgrade(
    store: Store, layout: OciLayout, operator: Operator, heard: Callable[[int, int], None]
) -> list[str]:
    """Sign what is unsigned; returns a sentence for each thing done, none when all is up to date.

    ``heard`` hears how many versions of how many are done. Raises UsageError for a key that is not trusted
    here, InfrastructureError for a damaged record.
    """
    if operator.trust.find(operator.signer.key_id) is None:
        why = "the key that signs here is not trusted here, so what it signs would not count"
        raise UsageError("The store is not upgraded", why=why, next_step="run `headgate keys trust` first")
    versions = list_versions(store)
    done: list[str] = []
    for number, version in enumerate(versions, 1):
        done += _version(store, layout, version, operator)
        heard(number, len(versions))
    for name, gpu_class in dict.fromkeys((v.name, v.gpu_class) for v in versions):
        done += _aliases(store, name, gpu_class, operator)
    return done


def _version(store: Store, layout: OciLayout, version: ModelVersion, operator: Operator) -> Iterator[str]:
    found = evidence_about(store, version, operator.trust)
    stood_for = {e.facts.get(STANDS_FOR) for e in found if e.signer}
    unsigned = [e for e in found if e.doubt == UNSIGNED and str(e.digest) not in stood_for]
    for evidence in unsigned:
        facts = {**evidence.facts, STANDS_FOR: str(evidence.digest)}
        record(store, operator.signer, replace(evidence, facts=facts))
        yield f"signed the {evidence.kind} evidence {evidence.digest} of {version.reference}"
    if not _signed(found, WEIGHTS_SIGNATURE, version.weights_set):
        yield _sign_weights(store, version, operator)
    if not _signed(found, RELEASE, version.record_digest):
        said = evidence_about(store, version, operator.trust)
        record(store, operator.signer, _release(version, said, operator))
        yield f"vouched for {version.reference} as a whole"
    if layout.has(version.image):
        bundles = [b for subject in subjects_of(version) for b in list_bundles(store, subject).values()]
        layout.put_referrers(version.image, attachable(bundles))


def _sign_weights(store: Store, version: ModelVersion, operator: Operator) -> str:
    try:
        weights = check_manifest(store, version.weights_manifest)
    except Refused as problem:
        return f"left the weights of {version.reference} unsigned: {problem}"
    if weights.set_digest != version.weights_set:
        return f"left the weights of {version.reference} unsigned: their manifest lists other files"
    facts = weights_predicate(weights)
    record(store, operator.signer, Evidence(kind=WEIGHTS_SIGNATURE, subject=version.weights_set, facts=facts))
    return f"signed the weights of {version.reference}"


def _signed(found: list[Evidence], kind: str, subject: Digest) -> bool:
    return any(e.signer and (e.kind, e.subject) == (kind, subject) for e in found)


def _release(version: ModelVersion, said: list[Evidence], operator: Operator) -> Evidence:
    message = f"{operator.who} vouches for a version published before releases were signed"
    facts: dict[str, Any] = {
        "at": operator.now.astimezone(UTC).isoformat(timespec="microseconds"),
        "version": version.reference,
        "policy": str(operator.policy.digest),
        "evidence": sorted(str(e.digest) for e in said if e.signer),
        "by": operator.who,
        "why": "headgate store upgrade",
    }
    return Evidence(
        kind=RELEASE,
        subject=version.record_digest,
        verdict=Verdict.of([Finding(name="upgrade", outcome=Outcome.PASS, message=message)]),
        facts=facts,
        also={"release": version.release_digest, "image": version.image, "weights": version.weights_set},
    )


def _aliases(store: Store, name: str, gpu_class: str, operator: Operator) -> list[str]:
    before = list(store.list(f"audit/{name}/{gpu_class}/"))
    vouch(
        store,
        operator.signer,
        operator.trust,
        name=name,
        gpu_class=gpu_class,
        at=operator.now,
        who=operator.who,
        why="headgate store upgrade",
    )
    grown = len(list(store.list(f"audit/{name}/{gpu_class}/"))) > len(before)
    return [f"began the log of the aliases of {name} on {gpu_class}"] if grown else []

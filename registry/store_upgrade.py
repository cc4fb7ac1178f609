"""Brings a store of an older Headgate up to date: what was recorded before records were signed is signed.

Whoever runs it vouches, with their key, for what the store holds: nothing in an unsigned store proves
itself. The old records stay as they are; each new one names the digest of the one it stands for.

Only what is from before is signed: records of format 1, evidence without any signature. What a key signed
that is not trusted (any more) is left as it is, and said: a leaked key's release must not be vouched for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from judging.verdict import Finding, Outcome, Verdict
from registry.alias_history import history
from registry.alias_log import get_aliases
from registry.alias_vouch import vouch
from registry.bundle import Signer
from registry.digest import Digest
from registry.errors import Refused, UsageError
from registry.evidence import UNSIGNED, Evidence, evidence_about, list_bundles, record, subjects_of
from registry.oci_layout import OciLayout
from registry.policy import Policy
from registry.predicates import ALIAS_MOVE, KINDS, RELEASE, WEIGHTS_SIGNATURE
from registry.publish import list_versions
from registry.referrers import attachable
from registry.store import Store
from registry.trust import Trust
from registry.verify import check_manifest
from registry.verify_evidence import RELEASE_AGAIN, WHOSE_KEY
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


@dataclass(frozen=True)
class Upgraded:
    """How many versions there are, a sentence for each thing that was signed, and for each that was left."""

    versions: int
    done: tuple[str, ...]
    left: tuple[str, ...]


def upgrade(
    store: Store, layout: OciLayout, operator: Operator, heard: Callable[[int, int], None]
) -> Upgraded:
    """Sign what is unsigned and from before releases were signed; again does what is left of it.

    ``heard`` hears how many versions of how many are done. Raises UsageError for a key that is not trusted
    here for everything, InfrastructureError for a damaged record.
    """
    _check_key(operator)
    versions = list_versions(store)
    done: list[str] = []
    left: dict[str, str] = {}
    for number, version in enumerate(versions, 1):
        found = evidence_about(store, version, operator.trust)
        if reason := _reason_to_leave(store, version, found):
            left[version.reference] = f"left {version.reference}: {reason}"
        else:
            done += _sign(store, version, found, operator)
            _attach(store, layout, version)
        heard(number, len(versions))
    for name, gpu_class in dict.fromkeys((v.name, v.gpu_class) for v in versions):
        place = f"the aliases of {name} on {gpu_class}"
        if reason := _reason_to_leave_aliases(store, operator, name, gpu_class, left):
            left[place] = f"left {place}: {reason}"
        elif _begin_log(store, operator, name, gpu_class):
            done.append(f"began the log of {place}")
    return Upgraded(len(versions), tuple(done), tuple(left.values()))


def _check_key(operator: Operator) -> None:
    trusted = operator.trust.find(operator.signer.key_id)
    if trusted is None or not all(trusted.may_sign(kind) for kind in KINDS):
        where = "here for everything" if trusted else "here"
        why = f"the key that signs here is not trusted {where}, so what it signs would not count"
        raise UsageError("The store is not upgraded", why=why, next_step="run `headgate keys trust` first")


def _reason_to_leave(store: Store, version: ModelVersion, found: list[Evidence]) -> str:
    """Why nothing is signed for a version that wants it, with what to do; or nothing."""
    if not _unsigned(found) and all(_signed(found, *what) for what in _whole(version)):
        return ""
    signed = (e for e in found if e.doubt not in {"", UNSIGNED} and e.kind != ALIAS_MOVE)
    if doubted := next(signed, None):
        return f"its {doubted.kind} evidence does not count: {doubted.doubt}; {WHOSE_KEY}"
    if not version.predates_signing:
        return f"it was made when releases were signed already, and not all about it is; {RELEASE_AGAIN}"
    try:
        weights = check_manifest(store, version.weights_manifest)
    except Refused as problem:
        return str(problem)
    changed = weights.set_digest != version.weights_set
    return f"the manifest of its weights lists other files; {RELEASE_AGAIN}" if changed else ""


def _whole(version: ModelVersion) -> tuple[tuple[str, Digest], ...]:
    return (WEIGHTS_SIGNATURE, version.weights_set), (RELEASE, version.record_digest)


def _unsigned(found: list[Evidence]) -> list[Evidence]:
    stood_for = {e.facts.get(STANDS_FOR) for e in found if e.signer}
    return [e for e in found if e.doubt == UNSIGNED and str(e.digest) not in stood_for]


def _sign(store: Store, version: ModelVersion, found: list[Evidence], operator: Operator) -> Iterator[str]:
    for evidence in _unsigned(found):
        facts = {**evidence.facts, STANDS_FOR: str(evidence.digest)}
        record(store, operator.signer, replace(evidence, facts=facts))
        yield f"signed the {evidence.kind} evidence {evidence.digest} of {version.reference}"
    if not _signed(found, WEIGHTS_SIGNATURE, version.weights_set):
        facts = weights_predicate(check_manifest(store, version.weights_manifest))
        weights = Evidence(kind=WEIGHTS_SIGNATURE, subject=version.weights_set, facts=facts)
        record(store, operator.signer, weights)
        yield f"signed the weights of {version.reference}"
    if not _signed(found, RELEASE, version.record_digest):
        said = evidence_about(store, version, operator.trust)
        record(store, operator.signer, _release(version, said, operator))
        yield f"vouched for {version.reference} as a whole"


def _attach(store: Store, layout: OciLayout, version: ModelVersion) -> None:
    if layout.has(version.image):
        bundles = [b for subject in subjects_of(version) for b in list_bundles(store, subject).values()]
        layout.put_referrers(version.image, attachable(bundles))


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


def _reason_to_leave_aliases(
    store: Store, operator: Operator, name: str, gpu_class: str, left: Collection[str]
) -> str:
    if moves := history(store, operator.trust, name, gpu_class):
        last = moves[-1]
        step = f"see `headgate history {name}`, and sign for what is right with `headgate vouch`"
        return "" if last.signer else f"move {last.number} does not count: {last.doubt}; {step}"
    pointing = get_aliases(store, operator.trust, name, gpu_class).to_json().values()
    named = [reference for number in pointing if (reference := f"{name}/{number}") in left]
    return f"they name {named[0]}, which is left itself; see to that, and upgrade again" if named else ""


def _begin_log(store: Store, operator: Operator, name: str, gpu_class: str) -> bool:
    before = [*store.list(f"audit/{name}/{gpu_class}/")]
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
    return len([*store.list(f"audit/{name}/{gpu_class}/")]) > len(before)

"""Which evidence lets a version be staged and reach users. Pure: evidence and the time come in, gaps go out.

What counts as evidence is ``counting``'s. Of several records the newest that counts decides, so a later
failure outweighs a pass. A scan that could not be made may be covered by a waiver that still holds. What was
live before may come back whatever the age of its evidence: going back must not wait for a new scan. An
approval counts until its signer rejects; one standing rejection keeps a version back, whoever approved it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from registry.alias import Alias
from registry.counting import Case, is_satisfied, standing
from registry.digest import Digest
from registry.errors import HeadgateError, NeedsApproval, UsageError
from registry.evidence import Evidence
from registry.predicates import (
    ALIAS_MOVE,
    APPROVAL,
    KINDS,
    LOAD,
    QUALITY,
    QUANTIZE,
    RELEASE,
    ROLLOUT,
    SBOM,
    SCAN,
    is_document,
)
from registry.trust import Trust
from registry.version import ModelVersion

REQUIRABLE = KINDS - {ROLLOUT, ALIAS_MOVE}
"""What a policy can ask for: the others are what moving an alias leads to."""

_ABSENT = {
    QUALITY: "no quality gate has judged it",
    SCAN: "no scan has looked at its runtime",
    RELEASE: "no release has bound its evidence together",
    APPROVAL: "nobody has approved it",
}
_NOUNS = {QUALITY: "quality gate", LOAD: "load test", SBOM: "SBOM"}


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Evidence of a kind, signed by ``count`` different keys, of those in ``signed_by`` unless it is empty.

    ``max_age`` is how old it may be, None for any age. ``four_eyes``: whoever signed the version's
    ``release`` does not count. Raises ValueError for what no evidence could meet.
    """

    kind: str
    max_age: timedelta | None = None
    signed_by: frozenset[str] = frozenset()
    count: int = 1
    four_eyes: bool = False

    def __post_init__(self) -> None:
        if self.kind not in REQUIRABLE:
            raise ValueError(f"kind: {self.kind!r} is nothing a policy can ask for")
        if self.count < 1 or 0 < len(self.signed_by) < self.count:
            keys = f"the {len(self.signed_by)} keys in signed_by" if self.signed_by else "any number of keys"
            raise ValueError(f"count: {self.count} signatures cannot come from {keys}")
        if self.max_age is not None and is_document(self.kind):
            raise ValueError(f"max_age: evidence of the kind {self.kind} has no date")
        if self.four_eyes and self.kind == RELEASE:
            raise ValueError("four_eyes: a release is signed by whoever released it")

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``max_age`` in seconds."""
        age = self.max_age.total_seconds() if self.max_age is not None else None
        return {**asdict(self), "signed_by": sorted(self.signed_by), "max_age": age}


@dataclass(frozen=True)
class Policy:
    """What a version needs before an alias may point at it. ``candidate`` needs nothing: the gates judge."""

    staging: tuple[Requirement, ...]
    production: tuple[Requirement, ...]

    def required(self, alias: Alias) -> tuple[Requirement, ...]:
        """What this alias asks for."""
        return {Alias.CANDIDATE: (), Alias.STAGING: self.staging, Alias.PRODUCTION: self.production}[alias]

    @property
    def digest(self) -> Digest:
        """The digest of everything it asks for: a release's summary names the policy it was made under."""
        return Digest.of_json({alias: [r.to_json() for r in self.required(alias)] for alias in Alias})


_USUAL = tuple(Requirement(kind=kind) for kind in (QUALITY, SCAN, RELEASE))
DEFAULT = Policy(staging=_USUAL, production=_USUAL)
"""Without a policy file: gate, scan, and the summary that binds them, of any age, by any trusted key."""


def missing_evidence(
    policy: Policy,
    alias: Alias,
    version: ModelVersion,
    found: Iterable[Evidence],
    now: datetime,
    trust: Trust,
) -> list[str]:
    """A sentence for each thing that keeps an alias from this version; empty when nothing does.

    ``found`` is all evidence about the version (``evidence_about``), ``now`` an aware time.
    """
    return [sentence for _, sentence in _gaps(policy, alias, Case(version, tuple(found), now, trust))]


def insist(
    policy: Policy,
    alias: Alias,
    version: ModelVersion,
    found: Iterable[Evidence],
    now: datetime,
    trust: Trust,
) -> None:
    """Raises what ``missing_evidence`` finds: NeedsApproval if only people are missing, else UsageError."""
    gaps = _gaps(policy, alias, Case(version, tuple(found), now, trust))
    if not gaps:
        return
    people = {kind for kind, _ in gaps} == {APPROVAL}
    error: type[HeadgateError] = NeedsApproval if people else UsageError
    raise error(
        f"{version.reference} may not become {alias}",
        why="; ".join(sentence for _, sentence in gaps),
        next_step=f"`headgate approve {version.reference}`, with the key of whoever decides"
        if people
        else "release it again: what still holds is reused, what is missing is measured",
    )


def _gaps(policy: Policy, alias: Alias, case: Case) -> list[tuple[str, str]]:
    required = policy.required(alias)
    gaps = [(r.kind, gap) for r in required if (gap := _gap(case, r))]
    if required:
        gaps += [(APPROVAL, _rejection(evidence)) for evidence in case.rejections]
    return gaps


def _gap(case: Case, required: Requirement) -> str:
    """Why the requirement is not met, or nothing."""
    if required.kind == QUANTIZE and case.version.source_set == case.version.weights_set:
        return ""  # nothing was quantized
    records = case.of(required.kind)
    doubts = [case.doubt(e) or _unfit(case, required, e) for e in records]
    counting = [e for e, doubt in zip(records, doubts, strict=True) if not doubt]
    if not counting:
        return _none_counts(required.kind, records, doubts)
    if required.kind != APPROVAL and (refusal := _refusal(case, counting[0])):
        return refusal
    signed = sum(not _refusal(case, e) for e in standing(counting))
    if signed >= required.count:
        return ""
    if required.kind == APPROVAL and not signed:
        return ""  # every one of them was withdrawn, and the rejections say so
    return f"{signed} of {required.count} keys have signed its {_noun(required.kind)}"


def _unfit(case: Case, required: Requirement, evidence: Evidence) -> str:
    """Why evidence that counts is not what the requirement asks for, or nothing."""
    if required.signed_by and evidence.signer not in required.signed_by:
        return f"{evidence.signer} signed it, and the policy wants {' or '.join(sorted(required.signed_by))}"
    if required.four_eyes and evidence.signer in case.releasers:
        return f"{evidence.signer} signed it, and the release as well: the policy wants four eyes"
    age = case.age(evidence)
    if required.max_age is not None and age is not None and age > required.max_age:
        return f"it is {_span(age)} old, and the policy allows {_span(required.max_age)}"
    return ""


def _refusal(case: Case, evidence: Evidence) -> str:
    """Why evidence says no, or nothing."""
    if is_satisfied(evidence):
        return ""
    if evidence.verdict is None:
        return f"its {_noun(evidence.kind)} came to no verdict"
    until = case.waived_until(evidence)
    if until and until >= case.now.date():
        return ""
    if until:
        return f"the waiver of {evidence.facts['waiver'].get('owner')} for its scan ended on {until}"
    reasons = "; ".join(evidence.verdict.reasons())
    return f"its {_noun(evidence.kind)} said {evidence.verdict.outcome}: {reasons}"


def _rejection(evidence: Evidence) -> str:
    why = evidence.facts.get("why") or "no reason given"
    return f"{evidence.signer} rejected it on {_when(evidence)}: {why}"


def _none_counts(kind: str, records: list[Evidence], doubts: list[str]) -> str:
    if not records:
        return _ABSENT.get(kind, f"there is no {kind} evidence about it")
    whys = [f"of {_when(e)}: {doubt}" for e, doubt in zip(records, doubts, strict=True)]
    more = f", and {len(whys) - 1} older" if len(whys) > 1 else ""
    return f"no {_noun(kind)} counts ({whys[0]}{more})"


def _noun(kind: str) -> str:
    return _NOUNS.get(kind, kind)


def _when(evidence: Evidence) -> str:
    return str(evidence.facts.get("at", "no date"))[:16].replace("T", " ")


def _span(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"

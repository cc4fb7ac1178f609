"""Which evidence lets a version be staged and reach users. Pure: evidence and the time come in, gaps go out.

What counts as evidence is ``counting``'s. Of several records the newest that counts decides, so a later
failure outweighs a pass; of quality gates the newest of every suite has to pass. A scan that could not be
made may be covered by a waiver that still holds. An approval counts until its signer rejects; one standing
rejection keeps a version back, whoever approved it.

What was in production here may come back, whatever the policy asks for by now: going back must not wait for a
new scan or another signature. It needs its release, no harm proven since, and no rejection that stands.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from typing import Any, NamedTuple

from judging.verdict import Outcome
from registry.alias import Alias
from registry.counting import Case, by_suite, is_satisfied, standing, suite_of
from registry.digest import Digest
from registry.errors import HeadgateError, Inconclusive, InfrastructureError, NeedsApproval, Refused
from registry.evidence import Evidence
from registry.predicates import (
    ALIAS_MOVE,
    APPROVAL,
    EXPORT,
    FIDELITY,
    KINDS,
    NOUNS,
    QUALITY,
    QUANTIZE,
    RELEASE,
    ROLLOUT,
    SCAN,
    is_document,
)
from registry.version import ModelVersion

REQUIRABLE = KINDS - {ROLLOUT, ALIAS_MOVE, EXPORT}
"""What a policy can ask for: the others are what moving an alias leads to, and how a version travelled."""

_ABSENT = {
    FIDELITY: "no fidelity gate has compared it with its source",
    QUALITY: "no quality gate has judged it",
    SCAN: "no scan has looked at its runtime",
    RELEASE: "no release has bound its evidence together, or its record has changed: see `headgate verify`",
    APPROVAL: "nobody has approved it",
}


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Evidence of a kind, signed by ``count`` holders of keys, of those in ``signed_by`` unless it is empty.

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
            whose = (
                f"the {len(self.signed_by)} names in signed_by" if self.signed_by else "any number of keys"
            )
            raise ValueError(f"count: {self.count} signatures cannot come from {whose}")
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

    def max_age(self, kind: str) -> timedelta | None:
        """How old evidence of a kind may be for every alias, None for any age."""
        ages = (r.max_age for alias in Alias for r in self.required(alias) if r.kind == kind)
        return min((age for age in ages if age is not None), default=None)

    @property
    def digest(self) -> Digest:
        """The digest of everything it asks for: a release's summary names the policy it was made under."""
        return Digest.of_json({alias: [r.to_json() for r in self.required(alias)] for alias in Alias})


_USUAL = tuple(Requirement(kind=kind) for kind in (QUALITY, SCAN, RELEASE))
DEFAULT = Policy(staging=_USUAL, production=_USUAL)
"""Without a policy file: gate, scan, and the summary that binds them, of any age, by any trusted key."""


def missing_evidence(policy: Policy, alias: Alias, case: Case) -> list[str]:
    """A sentence for each thing that keeps an alias from the version; empty when nothing does."""
    return [gap.sentence for gap in _gaps(policy, alias, case)]


def exemption(case: Case) -> str:
    """Why the policy asks no more of the version than that nothing speaks against it, or nothing."""
    if not case.was_live or case.live_since is None:
        return ""
    first = f"{case.live_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return (
        f"it is exempt from the policy: it was in production here, first on {first},"
        " and only its release, harm proven since and rejections count"
    )


def uncounted(policy: Policy, case: Case, said: Evidence) -> list[str]:
    """Why this record is not what aliases ask for, a sentence each; a no is heard whatever they ask for."""
    if doubt := case.doubt(said):
        return [f"It does not count: {doubt}"]
    if not is_satisfied(said):
        return []
    told: list[str] = []
    for alias in Alias:
        unfit = [_unfit(case, r, said) for r in policy.required(alias) if r.kind == said.kind]
        if unfit and all(unfit):
            told.append(f"It does not count for {alias}: {'; '.join(dict.fromkeys(unfit))}")
    return told


def insist(policy: Policy, alias: Alias, case: Case) -> None:
    """Raises what ``missing_evidence`` finds, as the heaviest of it.

    Refused when something says no; InfrastructureError when a damaged log hides whether it was live, else
    Inconclusive for what is missing, old, doubtful or could not tell; NeedsApproval when only people are.
    """
    gaps = _gaps(policy, alias, case)
    if not gaps:
        return
    error = min((gap.error for gap in gaps), key=_WEIGHT.index)
    why = "; ".join(gap.sentence for gap in gaps)
    next_step = _next_step(case.version, {gap.kind for gap in gaps})
    raise error(f"{case.version} may not become {alias}", why=why, next_step=next_step)


def _next_step(version: ModelVersion, kinds: set[str]) -> str:
    step = "release it again: what still holds is reused, what is missing is measured"
    if kinds - {ALIAS_MOVE} == {APPROVAL}:
        step = f"`headgate approve {version} --why ...`, with the key of whoever decides"
    return f"restore the alias log from a backup, or {step}" if ALIAS_MOVE in kinds else step


_WEIGHT: tuple[type[HeadgateError], ...] = (Refused, InfrastructureError, Inconclusive, NeedsApproval)


class _Gap(NamedTuple):
    """What keeps an alias from a version: a sentence, the kind it is about, and the error it amounts to."""

    kind: str
    sentence: str
    error: type[HeadgateError]


def _gaps(policy: Policy, alias: Alias, case: Case) -> list[_Gap]:
    if alias is Alias.CANDIDATE:
        return []
    required = policy.required(alias)
    if case.was_live:
        gaps = _gaps_on_return(required, case)
    else:
        gaps = [gap for r in required if (gap := _gap(case, r))]
    gaps += [_Gap(ALIAS_MOVE, why, InfrastructureError) for why in [case.live_unknown] if gaps and why]
    gaps += [_Gap(APPROVAL, _rejection(evidence), Refused) for evidence in case.rejections]
    return list(dict.fromkeys(gaps))  # what two requirements ask for is told once


def _gaps_on_return(required: tuple[Requirement, ...], case: Case) -> list[_Gap]:
    """What keeps back a version that was live: the policy says no more than whose failures count."""
    gaps: list[_Gap] = []
    if required and not any(is_satisfied(e) and not case.doubt(e) for e in case.of(RELEASE)):
        gaps = [gap for gap in [_gap(case, Requirement(kind=RELEASE))] if gap]
    for kind in sorted(REQUIRABLE - {APPROVAL}):
        signers = [r.signed_by for r in required if r.kind == kind]
        said = [e for e in case.of(kind) if not case.doubt(e) and _has_a_say(e, signers)]
        # A judge that could not tell neither proves harm nor takes back what was proven.
        proven = [found[0] for found in by_suite(e for e in said if is_satisfied(e) or _is_harm(e))]
        harm = [e for e in proven if _is_harm(e) and case.is_since_live(e)]
        gaps += [_Gap(kind, _refusal(case, e), Refused) for e in harm]
    return gaps


def _has_a_say(evidence: Evidence, signers: list[frozenset[str]]) -> bool:
    return not signers or any(not names or evidence.signer in names for names in signers)


def _gap(case: Case, required: Requirement) -> _Gap | None:
    """Why the requirement is not met, or None."""
    if required.kind in {QUANTIZE, FIDELITY} and case.version.source_set == case.version.weights_set:
        return None  # nothing was quantized
    records = case.of(required.kind)
    doubts = [case.doubt(e) or _unfit(case, required, e) for e in records]
    counting = [e for e, doubt in zip(records, doubts, strict=True) if not doubt]
    missing = NeedsApproval if required.kind == APPROVAL else Inconclusive
    if not counting:
        return _Gap(required.kind, _none_counts(required.kind, records, doubts), missing)
    suites = by_suite(counting)
    refused = [found[0] for found in suites if _refusal(case, found[0])]
    if required.kind != APPROVAL and refused:
        error = Refused if any(_says_no(case, e) for e in refused) else Inconclusive
        return _Gap(required.kind, "; ".join(_refusal(case, e) for e in refused), error)
    signed = max(sum(not _refusal(case, e) for e in standing(found)) for found in suites)
    if signed >= required.count:
        return None
    if required.kind == APPROVAL and not signed:
        return None  # every one of them was withdrawn, and the rejections say so
    told = f"its {_noun(required.kind)} has {signed} of {required.count} signers"
    return _Gap(required.kind, told, missing)


def _unfit(case: Case, required: Requirement, evidence: Evidence) -> str:
    """Why evidence that counts is not what the requirement asks for, or nothing."""
    if required.signed_by and evidence.signer not in required.signed_by:
        return f"{evidence.signer} signed it, and the policy wants {' or '.join(sorted(required.signed_by))}"
    if required.four_eyes and evidence.signer in case.releasers:
        return f"{evidence.signer} signed it, and the release as well: the policy wants four eyes"
    age = case.age(evidence)
    if _refusal(case, evidence):
        return ""  # it holds until somebody looks again: else it would be enough to wait
    if required.max_age is not None and age is not None and age > required.max_age:
        return f"it is {_span(age)} old, and the policy allows {_span(required.max_age)}"
    return ""


def _refusal(case: Case, evidence: Evidence) -> str:
    """Why evidence says no, or nothing."""
    if is_satisfied(evidence):
        return ""
    if evidence.verdict is None:
        return f"its {_what(evidence)} came to no verdict"
    until = case.waived_until(evidence)
    if until and until >= case.now.date():
        return ""
    if until:
        return f"the waiver of {evidence.facts['waiver'].get('owner')} for its scan ended on {until}"
    reasons = "; ".join(evidence.verdict.reasons())
    return f"its {_what(evidence)} said {evidence.verdict.outcome}: {reasons}"


def _says_no(case: Case, refused: Evidence) -> bool:
    """Whether what does not say yes says no: a failure, or a waiver that has ended."""
    return _is_harm(refused) or case.waived_until(refused) is not None


def _is_harm(evidence: Evidence) -> bool:
    return evidence.verdict is not None and evidence.verdict.outcome is Outcome.FAIL


def _rejection(evidence: Evidence) -> str:
    why = evidence.facts.get("why") or "no reason given"
    return f"{evidence.signer} rejected it on {_when(evidence)}: {why}"


def _none_counts(kind: str, records: list[Evidence], doubts: list[str]) -> str:
    if not records:
        return _ABSENT.get(kind, f"there is no {kind} evidence about it")
    whys = [f"of {_when(e)}: {doubt}" for e, doubt in zip(records, doubts, strict=True)]
    more = f", and {len(whys) - 1} older" if len(whys) > 1 else ""
    return f"no {_noun(kind)} counts ({whys[0]}{more})"


def _what(evidence: Evidence) -> str:
    suite = suite_of(evidence)
    return f"{_noun(evidence.kind)} {suite}" if suite else _noun(evidence.kind)


def _noun(kind: str) -> str:
    return NOUNS.get(kind, kind)


def _when(evidence: Evidence) -> str:
    return str(evidence.facts.get("at", "no date"))[:16].replace("T", " ")


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"

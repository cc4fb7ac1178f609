"""Which evidence about a version counts, and why the rest does not. Pure.

It counts when a trusted key signed it that may sign its kind, when it speaks of this very version, and when
it is not from the future. Of several records the newest that counts decides: of quality gates the newest of
each suite, so that passing an easy suite does not undo failing a hard one. Gates hang on weights, runtime and
serve configuration, so another spec's suite may have judged the same: its yes and its no count, but that it
could not tell does not. What a policy makes of that is ``policy``'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

from judging.verdict import Outcome
from registry.digest import Digest
from registry.evidence import Evidence
from registry.predicates import (
    APPROVAL,
    FETCH,
    FIDELITY,
    IMAGE_SIGNATURE,
    LOAD,
    QUALITY,
    QUANTIZE,
    RELEASE,
    SANITY,
    SBOM,
    SCAN,
    WEIGHTS_SIGNATURE,
    is_document,
)
from registry.trust import Trust
from registry.version import ModelVersion

MAX_SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may be apart."""

GATES = (SANITY, FIDELITY, QUALITY, LOAD)
"""The kinds of evidence whose limits a spec sets."""

_EPOCH = datetime.min.replace(tzinfo=UTC)


def newest_of(found: Iterable[Evidence], kind: str) -> Evidence | None:
    """The newest record of a kind, or None; of several of one moment, one that did not pass."""
    return max((e for e in found if e.kind == kind), key=_moment, default=None)


def subject_of(version: ModelVersion, kind: str) -> Digest | None:
    """The digest of a version that evidence of this kind speaks of; None where its record has none."""
    subjects = {
        FETCH: version.source_set,
        QUANTIZE: version.weights_set,
        WEIGHTS_SIGNATURE: version.weights_set,
        SBOM: version.runtime,
        RELEASE: version.record_digest,
        IMAGE_SIGNATURE: version.image,
    }
    return subjects.get(kind, version.release_digest)


def is_satisfied(evidence: Evidence) -> bool:
    """Whether it says yes: a passed verdict, or a statement that judges nothing."""
    return evidence.verdict.passed if evidence.verdict else not _judges(evidence.kind)


@dataclass(frozen=True)
class Case:
    """All evidence about a version, weighed at a moment (an aware time) by what the keys are trusted for.

    ``live_since`` is when it was first in production here, as this store's own alias log has it: evidence
    travels, and what was live in another house was not live in this one. ``log_wrong`` says what is missing
    from that log or damaged: it may have been live all the same.
    """

    version: ModelVersion
    found: tuple[Evidence, ...]
    now: datetime
    trust: Trust
    live_since: datetime | None = None
    log_wrong: tuple[str, ...] = ()

    def of(self, kind: str) -> list[Evidence]:
        """What there is of a kind, whether or not it counts, newest first."""
        return sorted((e for e in self.found if e.kind == kind), key=_moment, reverse=True)

    def doubt(self, evidence: Evidence) -> str:
        """Why a record does not count, whatever a policy says; or nothing."""
        subject = subject_of(self.version, evidence.kind)
        if evidence.subject != subject:
            return f"it speaks of {evidence.subject}, not of {subject}"
        trusted = self.trust.find(evidence.key_id)
        if evidence.signer is None or trusted is None:
            return evidence.doubt or "the key that signed it is not trusted here"
        if not trusted.may_sign(evidence.kind):
            return f"the key {trusted.name} may not sign {evidence.kind} evidence"
        doubts = misdated(evidence, self.now) or self._of_another_name(evidence)
        return doubts or self._undecided_elsewhere(evidence)

    def newest(self, kind: str) -> list[Evidence]:
        """The newest record of a kind that counts, if there is one; of quality gates one for each suite."""
        return [found[0] for found in by_suite(e for e in self.of(kind) if not self.doubt(e))]

    def age(self, evidence: Evidence) -> timedelta | None:
        """How old it is; None where it is not dated."""
        at = dated(evidence)
        return None if at is None else self.now - at

    @property
    def was_live(self) -> bool:
        """Whether it was in production here: then it may come back, unless harm was proven since."""
        return self.live_since is not None and self.live_since - self.now <= MAX_SKEW

    @property
    def live_unknown(self) -> str:
        """Why it may have been live, or earlier than the log has it now; or nothing."""
        what = "since when it was" if self.was_live else "whether it was ever"
        why = "; ".join(reason.rstrip(".") for reason in self.log_wrong)
        return f"{what} in production here cannot be told: {why}" if why else ""

    def is_since_live(self, evidence: Evidence) -> bool:
        """Whether it was made after the version was live first; what is not dated may have been.

        So may all of it where moves are missing from the log: the first one may be among them.
        """
        at = dated(evidence)
        since = self.live_since
        return since is not None and (at is None or at >= since or bool(self.log_wrong))

    @cached_property
    def listed(self) -> frozenset[str]:
        """The digests of what its release statements say that it rests on."""
        statements = [e for e in self.of(RELEASE) if not self.doubt(e)]
        return frozenset(digest for e in statements for digest in e.facts.get("evidence", ()))

    def is_of_another_spec(self, evidence: Evidence) -> bool:
        """Whether this gate, or suite, is none that the version was published by; no where nothing tells."""
        rests_on = {(e.kind, suite_of(e)) for e in self.found if str(e.digest) in self.listed}
        gate = (evidence.kind, suite_of(evidence))
        return evidence.kind in GATES and bool(rests_on) and gate not in rests_on

    @cached_property
    def releasers(self) -> frozenset[str | None]:
        """The names of the keys that released it."""
        return frozenset(e.signer for e in self.of(RELEASE) if not self.doubt(e))

    @cached_property
    def rejections(self) -> tuple[Evidence, ...]:
        """What people who may approve have said against it, and not taken back."""
        counting = [e for e in self.of(APPROVAL) if not self.doubt(e)]
        return tuple(e for e in standing(counting) if not is_satisfied(e))

    def waived_until(self, evidence: Evidence) -> date | None:
        """The last day of the waiver for this scan, or None without one."""
        if evidence.kind != SCAN or not evidence.verdict or evidence.verdict.outcome is not Outcome.ERROR:
            return None
        try:
            return date.fromisoformat(evidence.facts["waiver"]["until"])
        except (KeyError, TypeError, ValueError):
            return None

    def _undecided_elsewhere(self, evidence: Evidence) -> str:
        # Nobody who releases the version could clear it: their suite is another one.
        is_open = evidence.verdict and evidence.verdict.outcome not in {Outcome.PASS, Outcome.FAIL}
        if evidence.kind != QUALITY or not is_open or not self.is_of_another_spec(evidence):
            return ""
        return f"the suite {suite_of(evidence)} could not tell, and the version was not published by it"

    def _of_another_name(self, evidence: Evidence) -> str:
        # Models of two names may be the same bytes: a person said yes to one; a no is about the bytes.
        version = evidence.facts.get("version", self.version.reference)
        if evidence.kind == APPROVAL and is_satisfied(evidence) and version != self.version.reference:
            return f"it is an approval of {version}"
        return ""


def misdated(evidence: Evidence, now: datetime) -> str:
    """Why its date keeps a record from counting at this moment (an aware time), or nothing."""
    at = dated(evidence)
    if at is None:
        return "" if is_document(evidence.kind) else "it does not say when it was made"
    ahead = at - now
    # A pass from the future is not believed; a failure is, since no doubt is a pass.
    if ahead > MAX_SKEW and is_satisfied(evidence):
        return f"it is dated {_minutes(ahead)} in the future: the clock of a machine is wrong"
    return ""


def suite_of(evidence: Evidence) -> str | None:
    """The suite that a quality gate measured by; None for other evidence."""
    return str(evidence.facts["suite"]) if evidence.kind == QUALITY and "suite" in evidence.facts else None


def by_suite(found: Iterable[Evidence]) -> list[list[Evidence]]:
    """The records of each suite, in their order; evidence of other kinds stays together."""
    suites: dict[str | None, list[Evidence]] = {}
    for evidence in found:
        suites.setdefault(suite_of(evidence), []).append(evidence)
    return list(suites.values())


def standing(counting: Iterable[Evidence]) -> list[Evidence]:
    """The newest record of each signer."""
    newest: dict[str | None, Evidence] = {}
    for evidence in sorted(counting, key=_moment):
        newest[evidence.signer] = evidence
    return list(newest.values())


def dated(evidence: Evidence) -> datetime | None:
    """When it was made, in UTC; None when it does not say so, or not in ISO form."""
    try:
        at = datetime.fromisoformat(evidence.facts["at"])
    except (KeyError, TypeError, ValueError):
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _judges(kind: str) -> bool:
    return kind not in {FETCH, QUANTIZE} and not is_document(kind)


def _moment(evidence: Evidence) -> tuple[datetime, bool]:
    return dated(evidence) or _EPOCH, not is_satisfied(evidence)


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:.0f} minutes"

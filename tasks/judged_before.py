"""Was this very release judged before, by these gates, and does that still hold?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from registry.alias import Alias
from registry.counting import Case, is_satisfied
from registry.digest import Digest
from registry.evidence import evidence_about
from registry.policy import Policy, missing_evidence
from registry.predicates import APPROVAL, FETCH, PREFLIGHT, QUANTIZE
from registry.publish import read_versions
from registry.version import ModelVersion
from tasks.workplace import Workplace

_OTHERS = frozenset({APPROVAL, FETCH, PREFLIGHT, QUANTIZE})
"""Evidence that judging a release again does not bring."""


def judged_before(
    place: Workplace, name: str, release: Digest, asked: Mapping[str, Mapping[str, Any]]
) -> ModelVersion | None:
    """The newest version of this release digest, if what it was judged by holds and passed; else None.

    ``asked`` maps kinds of evidence to facts that a record of theirs has to have, as plain JSON values; None
    is a fact that it has not. Of the rest the policy decides what has to be there, and how old it may be.
    """
    versions, _damaged = read_versions(place.store, name)
    same = [version for version in versions if version.release_digest == release]
    return same[-1] if same and _holds(place, same[-1], asked) else None


def case_of(place: Workplace, version: ModelVersion) -> Case:
    """What was measured of a version, weighed now: whether it was live, or who approved it, is left out."""
    found = evidence_about(place.store, version, place.trust)
    return Case(version, tuple(e for e in found if e.kind != APPROVAL), datetime.now(UTC), place.trust)


def _holds(place: Workplace, version: ModelVersion, asked: Mapping[str, Mapping[str, Any]]) -> bool:
    case = case_of(place, version)
    measured = tuple(r for r in place.policy.production if r.kind not in _OTHERS)
    if missing_evidence(Policy((), measured), Alias.PRODUCTION, case):
        return False
    return all(_was_asked(case, kind, facts) for kind, facts in asked.items())


def _was_asked(case: Case, kind: str, facts: Mapping[str, Any]) -> bool:
    def has_all(said: Mapping[str, Any]) -> bool:
        return all(said.get(name) == value for name, value in facts.items())

    return any(is_satisfied(e) and has_all(e.facts) for e in case.newest(kind))

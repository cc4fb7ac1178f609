"""What was measured about a release: append-only records that hang on the digest they speak about.

Evidence is never part of a version's record: a rescan or a new gate adds to it and changes nothing.
Who judges, and what a verdict allows, is left to the gates and the flows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from judging.verdict import Verdict
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.store import Store
from registry.version import check_name


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One measurement: its kind (``quality``, ``scan``, ``rollout``), its subject, any verdict.

    ``facts`` holds plain JSON values: figures, tool versions, the time if the caller wants one.
    """

    kind: str
    subject: Digest
    verdict: Verdict | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.kind)

    @property
    def digest(self) -> Digest:
        """The digest of the record."""
        return Digest.of_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        verdict = self.verdict.to_json() if self.verdict else None
        return {
            "kind": self.kind,
            "subject": str(self.subject),
            "verdict": verdict,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        verdict = Verdict.from_json(value["verdict"]) if value["verdict"] else None
        subject = Digest.parse(value["subject"])
        return cls(kind=value["kind"], subject=subject, verdict=verdict, facts=value["facts"])


def record(store: Store, evidence: Evidence) -> Digest:
    """Add the evidence, once however often it is recorded; returns its digest."""
    digest = evidence.digest
    store.put_if_absent(_prefix(evidence.subject) + f"{digest.hex}.json", canonical_json(evidence.to_json()))
    return digest


def list_evidence(store: Store, subject: Digest) -> list[Evidence]:
    """All evidence about a subject, by kind, then digest; InfrastructureError for a damaged record."""
    found = [_read(store, key) for key in store.list(_prefix(subject))]
    return sorted((e for e in found if e), key=lambda evidence: (evidence.kind, evidence.digest))


def _read(store: Store, key: str) -> Evidence | None:
    data = store.get(key)
    if data is None:
        return None
    try:
        evidence = Evidence.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError) as problem:
        raise _damaged(key, str(problem)) from problem
    if not key.endswith(f"/{evidence.digest.hex}.json"):
        raise _damaged(key, f"its content has the digest {evidence.digest}")
    return evidence


def _damaged(key: str, why: str) -> InfrastructureError:
    next_step = "restore it from a backup, or remove it and judge the release again"
    return InfrastructureError(f"The evidence record {key} is damaged", why=why, next_step=next_step)


def _prefix(subject: Digest) -> str:
    return f"evidence/{subject.hex}/"

"""Which statement of a fetch is a version's own: the same bytes may come from several places. Pure."""

from __future__ import annotations

from typing import Any

from registry.counting import Case, dated
from registry.evidence import Evidence
from registry.predicates import FETCH, RELEASE


def pinned(commit: str) -> dict[str, str]:
    """A commit as a fetch statement has it, in SLSA's words: of git, or ``sha256:...``."""
    algorithm, colon, value = commit.partition(":")
    return {algorithm: value} if colon else {"gitCommit": commit}


def fetches_of(case: Case) -> list[Evidence]:
    """The fetches of what the version's record names; first the newest that its release can rest on."""
    own = [e for e in case.of(FETCH) if _names_source(e.facts, case)]
    times = [at for e in case.of(RELEASE) if not case.doubt(e) and (at := dated(e))]
    if not times:
        return own
    released = min(times)
    return sorted(own, key=lambda e: (at := dated(e)) is not None and at > released)


def _names_source(facts: Any, case: Case) -> bool:
    """Whether it is of this address and commit; one that names no address contradicts neither."""
    uri = case.version.source_uri
    named = facts.get("dependencies")
    return not named or (isinstance(named, dict) and named.get(uri) == pinned(case.version.source_commit))

"""What an exporter signs about a version in an archive: these are its records, all that there were.

So nothing can be taken out on the way: the rejection, the rollback or the failed rescan that is gone leaves
its digest behind. It lies in the archive alone: a store keeps what is said about a version, not its travels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry.bundle import Signer, seal
from registry.digest import Digest
from registry.evidence import Evidence, read_evidence
from registry.predicates import EXPORT
from registry.trust import Trust, TrustedKey
from registry.version import ModelVersion

_SHOWN = 3  # records worth naming; the rest is counted


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Who exports: the key that vouches for the archive, a name, the time (aware), and any run."""

    signer: Signer
    who: str
    now: datetime
    run: str | None = None

    @property
    def key(self) -> TrustedKey:
        """The public half of the key, for people on the other side to compare."""
        return TrustedKey(f"exporter-{self.signer.key_id[:8]}", self.signer.public_pem)


def seal_export(
    version: ModelVersion, records: Mapping[str, bytes], exporter: Exporter, before: bytes | None
) -> bytes:
    """The signed list of a version's records; ``before``, when that says the same by the same key."""
    listed = _digests(records)
    if before is not None and _says(before, version, listed, exporter.key):
        return before
    facts: dict[str, Any] = {
        "at": exporter.now.astimezone(UTC).isoformat(timespec="microseconds"),
        "version": version.reference,
        "who": exporter.who,
        "run": exporter.run,
        "records": listed,
    }
    return seal(Evidence(kind=EXPORT, subject=version.record_digest, facts=facts).statement, exporter.signer)


def read_seal(data: bytes | None, version: ModelVersion, trust: Trust) -> Evidence:
    """What an exporter signed about a version, and whether that counts; ValueError when there is nothing."""
    if data is None:
        raise ValueError("nobody has signed which records belong to it (an older Headgate did not)")
    said = read_evidence(data, trust)
    if (said.kind, said.subject) != (EXPORT, version.record_digest):
        raise ValueError(f"its list of records is {said.kind} about {said.subject}")
    records = said.facts.get("records")
    if not isinstance(records, list) or not all(isinstance(digest, str) for digest in records):
        raise ValueError("its list of records cannot be read")
    return said


def difference(said: Evidence, records: Mapping[str, bytes]) -> str:
    """How records differ from the list that was signed, naming them; nothing when they are those."""
    listed = set(said.facts["records"])
    if gone := sorted(listed.difference(_digests(records))):
        return f"records that were exported are missing: {_named(gone)}"
    if strange := [key for key, data in records.items() if str(Digest.of_bytes(data)) not in listed]:
        return f"records were added after the export: {_named(strange)}"
    return ""


def _digests(records: Mapping[str, bytes]) -> list[str]:
    return sorted(str(Digest.of_bytes(data)) for data in records.values())


def _says(data: bytes, version: ModelVersion, listed: list[str], key: TrustedKey) -> bool:
    try:
        said = read_seal(data, version, Trust((key,)))
    except ValueError:
        return False
    return said.signer is not None and said.facts["records"] == listed


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"

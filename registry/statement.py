"""in-toto statements: what is said, about which digests. Pure values; who signed them is ``bundle``'s.

Format: in-toto attestation framework, spec v1, ``statement.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from registry.digest import Digest, canonical_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A predicate about subjects: digests by the name each is known by. The first is what it speaks of."""

    predicate_type: str
    subjects: Mapping[str, Digest]
    predicate: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not self.subjects:
            raise ValueError("a statement needs a subject")
        object.__setattr__(self, "subjects", MappingProxyType(dict(self.subjects)))

    def to_bytes(self) -> bytes:
        """The statement as it is signed: canonical JSON."""
        subjects = [{"name": name, "digest": {"sha256": d.hex}} for name, d in self.subjects.items()]
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": subjects,
                "predicateType": self.predicate_type,
                "predicate": dict(self.predicate),
            }
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Statement:
        """Read in-toto's form; raises AttributeError, KeyError, TypeError or ValueError otherwise."""
        if value["_type"] != STATEMENT_TYPE:
            raise ValueError(f"not an in-toto statement of version 1: {value['_type']!r}")
        canonical_json(value)  # no text or number that could not be written again
        entries = value["subject"]  # the one that cosign signs an image under has no name
        subjects = {str(entry.get("name", "")): Digest(entry["digest"]["sha256"]) for entry in entries}
        if len(subjects) != len(entries):
            raise ValueError("two subjects have the same name")
        predicate = value["predicate"]
        if not isinstance(predicate, Mapping):
            raise TypeError("its predicate is no object")
        return cls(predicate_type=str(value["predicateType"]), subjects=subjects, predicate=predicate)

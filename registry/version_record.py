"""Where the records of versions lie, and how one is read: whole, and in its own place."""

from __future__ import annotations

import json
import re

from registry.data_errors import worded
from registry.digest import canonical_json
from registry.errors import InfrastructureError
from registry.store import Store
from registry.version import ModelVersion, VersionDraft, check_name

RECORDS = "versions/"
INDEX = "versions-by-content/"
"""What the keys of records, and of the index from content to number, begin with; a model's name follows."""
_KEY = re.compile(rf"{RECORDS}([^/]+)/0*([1-9][0-9]*)\.json")


def version_key(name: str, number: int) -> str:
    """Where the record of a version is kept; ValueError for a malformed name."""
    return f"{RECORDS}{check_name(name)}/{number:06d}.json"


def reference_of(key: str) -> str | None:
    """The reference of the version whose record has this key, None for another key; it may be malformed."""
    found = _KEY.fullmatch(key)
    return f"{found[1]}/{found[2]}" if found else None


def index_key(draft: VersionDraft) -> str:
    """Where the index keeps the number of a version's content."""
    return f"{INDEX}{draft.name}/{draft.content_digest.hex}"


def read_version(store: Store, name: str, number: int) -> ModelVersion | None:
    """The version of this number, None when there is no record; raises as ``parse_record``."""
    key = version_key(name, number)
    return parse_record(key, store.get(key))


def parse_record(key: str, data: bytes | None) -> ModelVersion | None:
    """The version of a stored record; InfrastructureError when it is damaged, or in another's place."""
    if data is None:
        return None
    try:
        version = ModelVersion.from_json(json.loads(data))
        _check_place(version, key, data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise InfrastructureError(
            f"The version record {key} cannot be read",
            why=worded(problem),
            next_step="it was changed by hand or written by a newer Headgate: restore it, or upgrade",
        ) from problem
    return version


def _check_place(version: ModelVersion, key: str, data: bytes) -> None:
    if key != version_key(version.name, version.number):
        raise ValueError(f"it is the record of {version.reference}")
    if canonical_json(version.to_json()) != data:
        raise ValueError("its bytes are not those it was written with")
